// What a drive says of itself, in the units of its channel, whatever its profile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "robot/config.hpp"

namespace holdfast {

// The states that the core acts on. The numbers are those of the first profile.
inline constexpr std::uint8_t kDriveUnknown = 0;
inline constexpr std::uint8_t kDriveIdle = 1;     // no torque
inline constexpr std::uint8_t kDriveEnabled = 8;  // follows its input

struct DriveSample {
    std::optional<double> position{};  // channel units (rad, m)
    std::optional<double> velocity{};
    std::optional<double> effort{};             // N m, or N where the unit of the channel is m
    std::optional<std::uint32_t> axis_error{};  // 0 = none; describe_axis_error() puts it into words
    std::optional<std::uint8_t> axis_state{};   // kDriveIdle, kDriveEnabled or another of the profile
    bool heartbeat{false};  // the drive's own sign of life, which comes without being asked for
};

// "DC bus under voltage (0x200)". Not for real-time threads.
[[nodiscard]] std::string describe_axis_error(const Drive& drive, std::uint32_t error);

}  // namespace holdfast
