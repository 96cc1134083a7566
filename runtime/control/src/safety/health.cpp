#include "safety/health.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kInterval{500};
// A sensor that reports less or more than this is broken.
constexpr std::int32_t kMinMillidegrees = -60'000;
constexpr std::int32_t kMaxMillidegrees = 250'000;
constexpr double kMaxPercent = 100.0;

std::optional<std::int32_t> read_zone(const fs::path& file) {
    std::ifstream in(file);
    std::int32_t value = 0;
    if (!(in >> value) || value < kMinMillidegrees || value > kMaxMillidegrees) return std::nullopt;
    return value;
}

}  // namespace

std::optional<std::int32_t> read_temperature(const fs::path& zones) {
    std::optional<std::int32_t> hottest;
    std::error_code error;
    for (const auto& zone : fs::directory_iterator(zones, error)) {
        if (!zone.path().filename().string().starts_with("thermal_zone")) continue;
        if (const auto value = read_zone(zone.path() / "temp"))
            hottest = std::max(hottest.value_or(*value), *value);
    }
    return hottest;
}

std::optional<std::int32_t> read_memory_pressure(const fs::path& file) {
    std::ifstream in(file);
    for (std::string kind, share, rest; in >> kind >> share && std::getline(in, rest);) {
        if (kind != "full" || !share.starts_with("avg10=")) continue;
        char* end = nullptr;
        const double percent = std::strtod(share.c_str() + 6, &end);
        if (end == share.c_str() + 6 || !(percent >= 0.0 && percent <= kMaxPercent)) return std::nullopt;
        return static_cast<std::int32_t>(std::lround(percent * 100.0));
    }
    return std::nullopt;
}

HealthSampler::HealthSampler(Mailbox& mailbox, fs::path zones, fs::path pressure)
    : mailbox_(mailbox),
      zones_(std::move(zones)),
      pressure_(std::move(pressure)),
      thread_([this](const std::stop_token& stopping) { run(stopping); }) {}

HealthSampler::~HealthSampler() {
    thread_.request_stop();
    thread_.join();
}

void HealthSampler::run(const std::stop_token& stopping) {
    std::unique_lock lock(mutex_);
    while (!stopping.stop_requested()) {
        sample();
        ended_.wait_for(lock, stopping, kInterval, [] { return false; });
    }
}

void HealthSampler::sample() {
    mailbox_.temperature.store(read_temperature(zones_).value_or(kNotKnown), std::memory_order_release);
    mailbox_.memory_pressure.store(read_memory_pressure(pressure_).value_or(kNotKnown),
                                   std::memory_order_release);
    mailbox_.health_samples.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace holdfast::safety
