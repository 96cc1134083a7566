// What is read from files that may be slow: temperature and memory pressure. A thread of its own samples them
// twice a second; the loop sees a sample and counts its age.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "safety/mailbox.hpp"

namespace holdfast::safety {

// Older than this, a sample counts as none. Generous: the sampling thread is not a real-time one.
inline constexpr std::int64_t kHealthMaxAgeNs = 5'000'000'000;

// So many samples in a row without a zone that was there before, and its sensor counts as dead.
inline constexpr int kMaxZoneMisses = 3;

// The thermal zones below a directory (/sys/class/thermal), and which of them could ever be read.
class ThermalZones {
  public:
    explicit ThermalZones(std::filesystem::path directory) : directory_(std::move(directory)) {}

    // Thousandths of a degree Celsius of the hottest zone. Empty: none can be read, or one is dead.
    [[nodiscard]] std::optional<std::int32_t> sample();

  private:
    struct Zone {
        std::int32_t value{0};  // when it was read last
        int misses{0};          // samples since then
    };

    const std::filesystem::path directory_;
    std::map<std::string, Zone> known_;
};

// Hundredths of a percent: the share of the last ten seconds in which every task waited for memory ("full
// avg10" of /proc/pressure/memory). Empty: the kernel does not tell (psi=1 on its command line).
[[nodiscard]] std::optional<std::int32_t> read_memory_pressure(const std::filesystem::path& file);

class HealthSampler {
  public:
    // Takes the first sample itself: a loop that starts after this finds one, however late the thread runs.
    explicit HealthSampler(Mailbox& mailbox, std::filesystem::path zones = "/sys/class/thermal",
                           std::filesystem::path pressure = "/proc/pressure/memory");
    ~HealthSampler();
    HealthSampler(const HealthSampler&) = delete;
    HealthSampler& operator=(const HealthSampler&) = delete;

  private:
    void run(const std::stop_token& stopping);
    void sample();

    Mailbox& mailbox_;
    ThermalZones zones_;  // of the constructor, then of the thread
    const std::filesystem::path pressure_;
    std::mutex mutex_;
    std::condition_variable_any ended_;
    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::safety
