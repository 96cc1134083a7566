#include "core/estimation.hpp"

namespace holdfast::core {
namespace {

std::optional<std::size_t> state_of(const RobotConfig& config, std::size_t sensor, Quantity quantity) {
    for (std::size_t s = 0; s < config.states.size(); ++s) {
        if (config.states[s].sensor == sensor && config.states[s].quantity == quantity) return s;
    }
    return std::nullopt;
}

// x, y, z of a quantity whose x is `first`; empty unless all three are states.
std::optional<std::array<std::size_t, 3>> axes_of(const RobotConfig& config, std::size_t sensor,
                                                  Quantity first) {
    std::array<std::size_t, 3> axes{};
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
        const auto quantity = static_cast<Quantity>(static_cast<std::size_t>(first) + axis);
        const auto state = state_of(config, sensor, quantity);
        if (!state) return std::nullopt;
        axes[axis] = *state;
    }
    return axes;
}

}  // namespace

std::optional<ImuStates> imu_states(const RobotConfig& config) {
    for (std::size_t sensor = 0; sensor < config.sensors.size(); ++sensor) {
        if (config.sensors[sensor].profile != SensorProfile::kImu) continue;
        const auto angular_rate = axes_of(config, sensor, Quantity::kAngularRateX);
        const auto acceleration = axes_of(config, sensor, Quantity::kAccelerationX);
        if (angular_rate && acceleration) return ImuStates{*angular_rate, *acceleration};
    }
    return std::nullopt;
}

}  // namespace holdfast::core
