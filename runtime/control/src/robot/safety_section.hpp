// `[safety]`: what the safety daemon watches, and what it does about it.
#pragma once

#include <string_view>
#include <vector>

#include "robot/section.hpp"

namespace holdfast::robot {

// Every key of the section, for the environment's overrides.
[[nodiscard]] const std::vector<std::string_view>& safety_keys();

[[nodiscard]] SafetyConfig read_safety(Section& section, const RobotConfig& config);

}  // namespace holdfast::robot
