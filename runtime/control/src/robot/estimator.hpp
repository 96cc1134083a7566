// The section [estimator] of robot.toml.
#pragma once

#include <string_view>
#include <vector>

#include "robot/section.hpp"

namespace holdfast::robot {

[[nodiscard]] EstimatorConfig read_estimator(Section& section);
[[nodiscard]] const std::vector<std::string_view>& estimator_keys();

}  // namespace holdfast::robot
