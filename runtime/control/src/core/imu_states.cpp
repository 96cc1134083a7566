#include "core/estimation.hpp"

namespace holdfast::core {

// No quantity of robot.toml is that of an IMU yet.
std::optional<ImuStates> imu_states(const RobotConfig& /*config*/) { return std::nullopt; }

}  // namespace holdfast::core
