// holdfast-control put together: the two real-time threads and the service loop.
#pragma once

#include "error.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

// Runs until SIGTERM or SIGINT, then stops the robot, idles the drives and leaves holdfast-safety in good
// order.
[[nodiscard]] Expected<void> run(const RobotConfig& config);

}  // namespace holdfast::core
