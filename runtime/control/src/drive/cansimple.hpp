// The ODrive CANSimple protocol on the wire (docs.odriverobotics.com, "CAN Protocol", firmware 0.6): message
// id = node << 5 | command, little-endian payloads, float32 in motor turns, turns/s and N m.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "drive/drive.hpp"
#include "drive/payload.hpp"
#include "link/link.hpp"
#include "robot/config.hpp"

namespace holdfast::cansimple {

enum class Command : std::uint8_t {
    kHeartbeat = 0x01,
    kEstop = 0x02,
    kSetAxisState = 0x07,
    kGetEncoderEstimates = 0x09,
    kSetControllerMode = 0x0B,
    kSetInputPos = 0x0C,
    kSetInputVel = 0x0D,
    kSetInputTorque = 0x0E,
    kClearErrors = 0x18,
    kGetTorques = 0x1C,
};

enum class AxisState : std::uint8_t { kIdle = 1, kClosedLoop = 8 };
enum class ControlMode : std::uint8_t { kTorque = 1, kVelocity = 2, kPosition = 3 };
enum class InputMode : std::uint8_t { kPassthrough = 1 };

[[nodiscard]] constexpr ControlMode control_mode(ChannelKind kind) {
    switch (kind) {
        case ChannelKind::kPosition:
            return ControlMode::kPosition;
        case ChannelKind::kVelocity:
            return ControlMode::kVelocity;
        case ChannelKind::kEffort:
            break;
    }
    return ControlMode::kTorque;
}

inline constexpr std::uint32_t kAxisErrorEstopRequested = 0x0200'0000;
inline constexpr unsigned kCommandBits = 5;

[[nodiscard]] constexpr std::uint32_t frame_id(std::uint32_t node, Command command) {
    return node << kCommandBits | static_cast<std::uint32_t>(command);
}
[[nodiscard]] constexpr std::uint32_t node_of(const CanFrame& frame) { return frame.id >> kCommandBits; }
[[nodiscard]] constexpr Command command_of(const CanFrame& frame) {
    return static_cast<Command>(frame.id & ((1u << kCommandBits) - 1));
}

using holdfast::get_f32;
using holdfast::get_u32;
using holdfast::put_f32;
using holdfast::put_u32;

// Torque at the motor for one unit of effort at the channel (N m for a rotating joint, N for a sliding one):
// the power is the same on both sides of the gear, effort * velocity = torque * 2 pi * turns/s.
[[nodiscard]] double torque_per_effort(double turns_per_unit);

inline constexpr std::size_t kMaxEnableFrames = 3;

// The frame that carries one value of the drive's channel (Set_Input_Pos, Set_Input_Vel or Set_Input_Torque).
// The shield lets only finite values through; should one that is not get here, it becomes the drive's own
// Estop.
[[nodiscard]] CanFrame command_frame(const Drive& drive, ChannelKind kind, double value);
// Clear_Errors, Set_Controller_Mode and Set_Axis_State(closed loop), in that order. Returns how many.
std::size_t enable_frames(const Drive& drive, ChannelKind kind, std::span<CanFrame, kMaxEnableFrames> frames);
[[nodiscard]] CanFrame clear_errors_frame(const Drive& drive);
[[nodiscard]] CanFrame idle_frame(const Drive& drive);
// Empty if the frame is not from this drive, not known, of the wrong size, or holds a value that is not
// finite.
[[nodiscard]] std::optional<DriveSample> decode(const Drive& drive, const CanFrame& frame);
// The identifiers of the frames that decode() understands.
[[nodiscard]] std::vector<std::uint32_t> reports(const Drive& drive);
// The flags of ODrive.Error by name: "DC bus under voltage, motor over temperature (0x2200)".
[[nodiscard]] std::string describe_error(std::uint32_t error);

}  // namespace holdfast::cansimple
