// What is read from files that may be slow: temperature and memory pressure. A thread of its own samples them
// twice a second; the loop sees a sample and counts its age.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "safety/mailbox.hpp"

namespace holdfast::safety {

// Older than this, a sample counts as none. Generous: the sampling thread is not a real-time one.
inline constexpr std::int64_t kHealthMaxAgeNs = 5'000'000'000;

// Thousandths of a degree Celsius of the hottest thermal zone below `zones` (/sys/class/thermal). Empty: none
// can be read.
[[nodiscard]] std::optional<std::int32_t> read_temperature(const std::filesystem::path& zones);

// Hundredths of a percent: the share of the last ten seconds in which every task waited for memory ("full
// avg10" of /proc/pressure/memory). Empty: the kernel does not tell (psi=1 on its command line).
[[nodiscard]] std::optional<std::int32_t> read_memory_pressure(const std::filesystem::path& file);

class HealthSampler {
  public:
    explicit HealthSampler(Mailbox& mailbox, std::filesystem::path zones = "/sys/class/thermal",
                           std::filesystem::path pressure = "/proc/pressure/memory");
    ~HealthSampler();
    HealthSampler(const HealthSampler&) = delete;
    HealthSampler& operator=(const HealthSampler&) = delete;

  private:
    void run(const std::stop_token& stopping);
    void sample();

    Mailbox& mailbox_;
    const std::filesystem::path zones_;
    const std::filesystem::path pressure_;
    std::mutex mutex_;
    std::condition_variable_any ended_;
    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::safety
