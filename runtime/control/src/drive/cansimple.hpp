// The ODrive CANSimple protocol on the wire (docs.odriverobotics.com, "CAN Protocol", firmware 0.6): message
// id = node << 5 | command, little-endian payloads, float32 in motor turns, turns/s and N m.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "link/link.hpp"

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

inline constexpr std::uint32_t kAxisErrorEstopRequested = 0x0200'0000;
inline constexpr unsigned kCommandBits = 5;

[[nodiscard]] constexpr std::uint32_t frame_id(std::uint32_t node, Command command) {
    return node << kCommandBits | static_cast<std::uint32_t>(command);
}
[[nodiscard]] constexpr std::uint32_t node_of(const CanFrame& frame) { return frame.id >> kCommandBits; }
[[nodiscard]] constexpr Command command_of(const CanFrame& frame) {
    return static_cast<Command>(frame.id & ((1u << kCommandBits) - 1));
}

constexpr void put_u32(CanFrame& frame, std::size_t offset, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) frame.data[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}
[[nodiscard]] constexpr std::uint32_t get_u32(const CanFrame& frame, std::size_t offset) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t{frame.data[offset + i]} << (8 * i);
    return value;
}
constexpr void put_f32(CanFrame& frame, std::size_t offset, float value) {
    put_u32(frame, offset, std::bit_cast<std::uint32_t>(value));
}
[[nodiscard]] constexpr float get_f32(const CanFrame& frame, std::size_t offset) {
    return std::bit_cast<float>(get_u32(frame, offset));
}

// Torque at the motor for one unit of effort at the channel (N m for a rotating joint, N for a sliding one):
// the power is the same on both sides of the gear, effort * velocity = torque * 2 pi * turns/s.
[[nodiscard]] double torque_per_effort(double turns_per_unit);

}  // namespace holdfast::cansimple
