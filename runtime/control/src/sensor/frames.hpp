// Sensors on a link, in frames of our own. Identifier = node << 5 | message (the addressing of CANSimple, so
// both live on one bus), then one or two little-endian float32 in SI units:
//
//   imu           0x10 angular rate x, y   0x11 angular rate z, acceleration x   0x12 acceleration y, z
//   force-torque  0x14 force x, y          0x15 force z, torque x                0x16 torque y, z
//   distance      0x18 distance
//
// A sensor that has nothing to say (no echo) sends NaN: the frame is refused and the channel goes stale.
// Pure: no clock, allocation or I/O.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "link/link.hpp"
#include "robot/config.hpp"

namespace holdfast::sensor {

inline constexpr std::size_t kMaxFrames = 3;

struct Value {
    Quantity quantity{};
    double value{};
};

// What one frame holds.
struct Reading {
    std::array<Value, 2> values{};
    std::size_t count{};
};

// The quantities of a profile, in the order of the wire.
[[nodiscard]] std::span<const Quantity> quantities_of(SensorProfile profile);
// The identifiers of its frames.
[[nodiscard]] std::vector<std::uint32_t> reports(const Sensor& sensor);
// Empty if the frame is not from this sensor, of the wrong size, or holds a value that is not finite.
[[nodiscard]] std::optional<Reading> decode(const Sensor& sensor, const CanFrame& frame);
// The sensor's side: `values` by Quantity. Returns how many frames.
std::size_t encode(const Sensor& sensor, std::span<const double, kQuantities> values,
                   std::span<CanFrame, kMaxFrames> frames);

}  // namespace holdfast::sensor
