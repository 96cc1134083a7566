// [[input]]: set-points from outside the robot.
#pragma once

#include "robot/config.hpp"
#include "robot/section.hpp"

namespace holdfast::robot {

[[nodiscard]] InputChannel read_input(Section& section, const std::string& name);
// Both are read by state.get and shown side by side: a name must mean one of them.
void refuse_name_of_state(const Section& section, const std::string& name,
                          const std::vector<StateChannel>& states);

}  // namespace holdfast::robot
