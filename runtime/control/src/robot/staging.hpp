// [control]: how a controller that is deployed while the robot is armed is tried.
#pragma once

#include "robot/config.hpp"
#include "robot/section.hpp"

namespace holdfast::robot {

void read_staging(Section& control, ControlConfig& config);

}  // namespace holdfast::robot
