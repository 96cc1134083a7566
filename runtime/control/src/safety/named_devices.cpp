#include "safety/named_devices.hpp"

#include "safety/ending.hpp"

namespace holdfast::safety {
namespace {

// Far below the shortest time-out of a watchdog (1 s), which is fed between two attempts.
constexpr std::chrono::milliseconds kRetry{100};

}  // namespace

// Hazard: a watchdog that runs since its predecessor's death resets the machine while this daemon waits for
// something else. So it is opened as soon as it is there, and fed.
bool NamedDevices::take_missing() {
    problems_.clear();
    if (watchdog_) {
        if (!watchdog_->feed())
            problems_.push_back("hardware watchdog " + config_.watchdog + ": takes no food");
    } else if (!config_.watchdog.empty()) {
        auto opened = HardwareWatchdog::open(config_.watchdog, config_.watchdog_timeout_s);
        if (opened) {
            watchdog_ = std::move(*opened);
        } else {
            problems_.push_back("hardware watchdog " + opened.error().message);
        }
    }
    lines_.take_missing();
    for (std::string& problem : lines_.problems()) problems_.push_back(std::move(problem));
    return lines_.complete() && !watchdog_missing();
}

Arrival wait_for_devices(const std::function<bool()>& take_missing, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!take_missing()) {
        if (std::chrono::steady_clock::now() >= deadline) return Arrival::kSomeMissing;
        if (told_to_end(kRetry)) return Arrival::kEnded;
    }
    return Arrival::kAll;
}

}  // namespace holdfast::safety
