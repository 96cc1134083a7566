#include "plant/simulated_sensor.hpp"

namespace holdfast::plant {
namespace {

constexpr double kGravity = 9.80665;   // m/s^2; an IMU at rest measures its support, upwards
constexpr double kFreeDistance = 5.0;  // m

constexpr std::array<std::string_view, kQuantities> kNames{
    "position",       "velocity",       "effort",         "angular_rate_x",
    "angular_rate_y", "angular_rate_z", "acceleration_x", "acceleration_y",
    "acceleration_z", "force_x",        "force_y",        "force_z",
    "torque_x",       "torque_y",       "torque_z",       "distance"};

// One standard deviation.
double noise_of(Quantity quantity) {
    if (quantity <= Quantity::kAngularRateZ) return 2e-3;
    if (quantity <= Quantity::kAccelerationZ) return 2e-2;
    if (quantity <= Quantity::kForceZ) return 1e-1;
    return quantity <= Quantity::kTorqueZ ? 1e-2 : 5e-3;
}

}  // namespace

std::string_view name_of(Quantity quantity) { return kNames[static_cast<std::size_t>(quantity)]; }

SimulatedSensor::SimulatedSensor(const Sensor& sensor) : sensor_(sensor) {
    truth_[static_cast<std::size_t>(Quantity::kAccelerationZ)] = kGravity;
    truth_[static_cast<std::size_t>(Quantity::kDistance)] = kFreeDistance;
}

bool SimulatedSensor::set(std::string_view quantity, double value) {
    for (const Quantity known : sensor::quantities_of(sensor_.profile)) {
        if (name_of(known) != quantity) continue;
        truth_[static_cast<std::size_t>(known)] = value;
        return true;
    }
    return false;
}

Measured SimulatedSensor::measure(std::mt19937_64* noise) const {
    Measured measured = truth_;
    if (noise == nullptr) return measured;
    for (const Quantity quantity : sensor::quantities_of(sensor_.profile)) {
        measured[static_cast<std::size_t>(quantity)] +=
            std::normal_distribution<double>(0.0, noise_of(quantity))(*noise);
    }
    return measured;
}

DriveFrames SimulatedSensor::feedback(const Measured& measured) const {
    std::array<CanFrame, sensor::kMaxFrames> frames;
    DriveFrames all;
    const std::size_t count = sensor::encode(sensor_, measured, frames);
    for (std::size_t i = 0; i < count; ++i) all.add(frames[i]);
    return all;
}

}  // namespace holdfast::plant
