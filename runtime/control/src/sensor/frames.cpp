#include "sensor/frames.hpp"

#include <algorithm>
#include <cmath>

#include "drive/payload.hpp"

namespace holdfast::sensor {
namespace {

constexpr unsigned kMessageBits = 5;
constexpr std::size_t kValueSize = 4;
constexpr std::array kImu{Quantity::kAngularRateX,  Quantity::kAngularRateY,  Quantity::kAngularRateZ,
                          Quantity::kAccelerationX, Quantity::kAccelerationY, Quantity::kAccelerationZ};
constexpr std::array kForceTorque{Quantity::kForceX,  Quantity::kForceY,  Quantity::kForceZ,
                                  Quantity::kTorqueX, Quantity::kTorqueY, Quantity::kTorqueZ};
constexpr std::array kDistance{Quantity::kDistance};

std::uint32_t first_message(SensorProfile profile) {
    switch (profile) {
        case SensorProfile::kImu:
            return 0x10;
        case SensorProfile::kForceTorque:
            return 0x14;
        case SensorProfile::kDistance:
            break;
    }
    return 0x18;
}

std::uint32_t first_id(const Sensor& sensor) {
    return sensor.node << kMessageBits | first_message(sensor.profile);
}

// Which quantities the message with this number holds.
std::span<const Quantity> in_message(SensorProfile profile, std::size_t number) {
    const auto all = quantities_of(profile);
    if (2 * number >= all.size()) return {};
    return all.subspan(2 * number, std::min<std::size_t>(2, all.size() - 2 * number));
}

}  // namespace

std::span<const Quantity> quantities_of(SensorProfile profile) {
    switch (profile) {
        case SensorProfile::kImu:
            return kImu;
        case SensorProfile::kForceTorque:
            return kForceTorque;
        case SensorProfile::kDistance:
            break;
    }
    return kDistance;
}

std::vector<std::uint32_t> reports(const Sensor& sensor) {
    std::vector<std::uint32_t> ids;
    while (!in_message(sensor.profile, ids.size()).empty())
        ids.push_back(first_id(sensor) + static_cast<std::uint32_t>(ids.size()));
    return ids;
}

std::optional<Reading> decode(const Sensor& sensor, const CanFrame& frame) {
    const std::uint32_t first = first_id(sensor);
    if (frame.id < first) return std::nullopt;
    const auto quantities = in_message(sensor.profile, frame.id - first);
    if (quantities.empty() || frame.size != kValueSize * quantities.size()) return std::nullopt;
    Reading reading;
    for (const Quantity quantity : quantities) {
        const double value = get_f32(frame, kValueSize * reading.count);
        if (!std::isfinite(value)) return std::nullopt;
        reading.values[reading.count++] = {quantity, value};
    }
    return reading;
}

std::size_t encode(const Sensor& sensor, std::span<const double, kQuantities> values,
                   std::span<CanFrame, kMaxFrames> frames) {
    const std::uint32_t first = first_id(sensor);
    std::size_t count = 0;
    for (auto held = in_message(sensor.profile, count); !held.empty();
         held = in_message(sensor.profile, count)) {
        CanFrame& frame = frames[count];
        frame = {.id = first + static_cast<std::uint32_t>(count)};
        for (const Quantity quantity : held) {
            put_f32(frame, frame.size, static_cast<float>(values[static_cast<std::size_t>(quantity)]));
            frame.size = static_cast<std::uint8_t>(frame.size + kValueSize);
        }
        ++count;
    }
    return count;
}

}  // namespace holdfast::sensor
