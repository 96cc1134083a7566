// The devices that robot.toml names: GPIO lines and the hardware watchdog. At boot udev and the kernel's
// modules work beside this daemon, so that a device may come after it. Main thread, before the loop starts.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "robot/config.hpp"
#include "safety/gpio_lines.hpp"
#include "safety/watchdog.hpp"

namespace holdfast::safety {

class NamedDevices {
  public:
    // Takes the lines that are there. The watchdog waits for take_missing(): once open it wants to be fed.
    // `config` must outlive this object.
    explicit NamedDevices(const SafetyConfig& config, const std::filesystem::path& devices = "/dev")
        : config_(config), lines_(config, devices), problems_(lines_.problems()) {}

    // Tries what is not there yet, and feeds the watchdog if that is there. True: nothing is missing.
    [[nodiscard]] bool take_missing();

    [[nodiscard]] GpioLines& lines() { return lines_; }
    [[nodiscard]] std::optional<HardwareWatchdog>& watchdog() { return watchdog_; }
    [[nodiscard]] bool watchdog_missing() const { return !config_.watchdog.empty() && !watchdog_; }
    // What the latest attempt found, in sentences.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

  private:
    const SafetyConfig& config_;
    GpioLines lines_;
    std::optional<HardwareWatchdog> watchdog_;
    std::vector<std::string> problems_;
};

enum class Arrival { kAll, kSomeMissing, kEnded };

// Calls `take_missing` until it is true, `patience` is over, or this process is told to end.
[[nodiscard]] Arrival wait_for_devices(const std::function<bool()>& take_missing,
                                       std::chrono::milliseconds patience);

}  // namespace holdfast::safety
