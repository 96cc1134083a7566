// A drive profile turns channel values into frames and frames into samples. Pure: no clock, allocation or
// I/O. First profile: ODrive CANSimple (docs.odriverobotics.com, "CAN Protocol").
#pragma once

#include <optional>
#include <span>

#include "link/link.hpp"
#include "robot/config.hpp"

namespace holdfast {

struct DriveSample {
    std::optional<double> position;  // channel units (rad, m)
    std::optional<double> velocity;
    std::optional<double> effort;             // N m, or N where the unit of the channel is m
    std::optional<std::uint32_t> axis_error;  // from the heartbeat; 0 = none
    std::optional<std::uint8_t> axis_state;   // 1 idle, 8 closed loop
};

namespace cansimple {

inline constexpr std::size_t kMaxEnableFrames = 3;

// The frame that carries one value of the drive's channel (Set_Input_Pos, Set_Input_Vel or Set_Input_Torque).
// The shield lets only finite values through; should one that is not get here, it becomes the drive's own
// Estop.
[[nodiscard]] CanFrame command_frame(const Drive& drive, ChannelKind kind, double value);
// Clear_Errors, Set_Controller_Mode and Set_Axis_State(closed loop), in that order. Returns how many.
std::size_t enable_frames(const Drive& drive, ChannelKind kind, std::span<CanFrame, kMaxEnableFrames> frames);
[[nodiscard]] CanFrame idle_frame(const Drive& drive);
// Empty if the frame is not from this drive, not known, of the wrong size, or holds a value that is not
// finite.
[[nodiscard]] std::optional<DriveSample> decode(const Drive& drive, const CanFrame& frame);

}  // namespace cansimple
}  // namespace holdfast
