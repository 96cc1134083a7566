// A robot with one drive of each kind, in memory.
#pragma once

#include "robot/config.hpp"

namespace holdfast {

// Channels and drives: 0 "joint" (position), 1 "spindle" (velocity), 2 "gripper" (effort). States: 0
// joint.position, 1 spindle.velocity.
inline RobotConfig test_robot() {
    RobotConfig robot;
    robot.id = "test";
    robot.commands = {
        CommandChannel{.name = "joint",
                       .kind = ChannelKind::kPosition,
                       .unit = "rad",
                       .limits = {-3.0, 3.0},
                       .default_value = 0.0,
                       .max_rate = 2.0,
                       .max_accel = 10.0,
                       .position_state = 0,
                       .position_limits = {}},
        CommandChannel{.name = "spindle",
                       .kind = ChannelKind::kVelocity,
                       .unit = "rad/s",
                       .limits = {-20.0, 20.0},
                       .default_value = 0.0,
                       .max_rate = 0.0,
                       .max_accel = 40.0,
                       .position_state = {},
                       .position_limits = {}},
        CommandChannel{.name = "gripper",
                       .kind = ChannelKind::kEffort,
                       .unit = "N",
                       .limits = {-2.0, 2.0},
                       .default_value = 0.0,
                       .max_rate = 20.0,
                       .max_accel = 0.0,
                       .position_state = {},
                       .position_limits = {}},
    };
    robot.states = {
        StateChannel{.name = "joint.position",
                     .unit = "rad",
                     .drive = 0,
                     .quantity = Quantity::kPosition,
                     .limits = {-3.2, 3.2},
                     .max_age_ns = 20'000'000},
        StateChannel{.name = "spindle.velocity",
                     .unit = "rad/s",
                     .drive = 1,
                     .quantity = Quantity::kVelocity,
                     .limits = {-25.0, 25.0},
                     .max_age_ns = 20'000'000},
    };
    for (std::uint32_t i = 0; i < 3; ++i) {
        robot.drives.push_back(Drive{.name = robot.commands[i].name,
                                     .link = "unix:plant.sock",
                                     .profile = "odrive-cansimple",
                                     .node = i + 1,
                                     .turns_per_unit = 2.0,
                                     .command = i});
    }
    return robot;
}

}  // namespace holdfast
