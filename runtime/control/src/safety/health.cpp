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

// Hazard: the sensor of the hottest place dies and the cooler ones hide that. A zone that misses a sample or
// two counts with its last value.
std::optional<std::int32_t> ThermalZones::sample() {
    for (auto& [name, zone] : known_) zone.misses = std::min(zone.misses + 1, kMaxZoneMisses);
    std::error_code error;
    for (fs::directory_iterator entry(directory_, error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (!name.starts_with("thermal_zone")) continue;
        if (const auto value = read_zone(entry->path() / "temp")) known_[name] = {*value, 0};
    }
    std::optional<std::int32_t> hottest;
    for (const auto& [name, zone] : known_) {
        if (zone.misses >= kMaxZoneMisses) return std::nullopt;
        hottest = std::max(hottest.value_or(zone.value), zone.value);
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
    : mailbox_(mailbox), zones_(std::move(zones)), pressure_(std::move(pressure)) {
    sample();
    thread_ = std::jthread([this](const std::stop_token& stopping) { run(stopping); });
}

HealthSampler::~HealthSampler() {
    thread_.request_stop();
    thread_.join();
}

void HealthSampler::run(const std::stop_token& stopping) {
    std::unique_lock lock(mutex_);
    for (;;) {
        ended_.wait_for(lock, stopping, kInterval, [] { return false; });
        if (stopping.stop_requested()) return;
        sample();
    }
}

void HealthSampler::sample() {
    mailbox_.temperature.store(zones_.sample().value_or(kNotKnown), std::memory_order_release);
    mailbox_.memory_pressure.store(read_memory_pressure(pressure_).value_or(kNotKnown),
                                   std::memory_order_release);
    mailbox_.health_samples.fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace holdfast::safety
