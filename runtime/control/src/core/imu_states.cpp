#include <algorithm>

#include "core/estimation.hpp"

namespace holdfast::core {
namespace {

std::optional<std::size_t> state_of(const RobotConfig& config, std::size_t sensor, Quantity quantity) {
    const auto found = std::ranges::find_if(config.states, [&](const StateChannel& state) {
        return state.sensor == sensor && state.quantity == quantity;
    });
    if (found == config.states.end()) return std::nullopt;
    return static_cast<std::size_t>(found - config.states.begin());
}

std::optional<std::array<std::size_t, 3>> axes_of(const RobotConfig& config, std::size_t sensor,
                                                  std::array<Quantity, 3> quantities) {
    std::array<std::size_t, 3> axes{};
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const auto state = state_of(config, sensor, quantities[i]);
        if (!state) return std::nullopt;
        axes[i] = *state;
    }
    return axes;
}

}  // namespace

// The first sensor of which all six quantities are states of the robot.
std::optional<ImuStates> imu_states(const RobotConfig& config) {
    for (std::size_t sensor = 0; sensor < config.sensors.size(); ++sensor) {
        const auto rate = axes_of(
            config, sensor, {Quantity::kAngularRateX, Quantity::kAngularRateY, Quantity::kAngularRateZ});
        const auto acceleration = axes_of(
            config, sensor, {Quantity::kAccelerationX, Quantity::kAccelerationY, Quantity::kAccelerationZ});
        if (rate && acceleration) return ImuStates{*rate, *acceleration};
    }
    return std::nullopt;
}

}  // namespace holdfast::core
