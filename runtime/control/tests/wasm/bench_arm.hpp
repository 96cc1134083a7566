// The robot of the wasm and verify tests: two position joints, a rail, a spindle, a wrist and a gripper.
#pragma once

#include "robot/config.hpp"

namespace holdfast {

inline CommandChannel position_channel(std::string name, double limit, std::size_t position_state) {
    CommandChannel channel;
    channel.name = std::move(name);
    channel.kind = ChannelKind::kPosition;
    channel.unit = "rad";
    channel.limits = {-limit, limit};
    channel.max_rate = 2.0;
    channel.max_accel = 10.0;
    channel.position_state = position_state;
    return channel;
}

inline CommandChannel velocity_channel(std::string name, double limit) {
    CommandChannel channel;
    channel.name = std::move(name);
    channel.kind = ChannelKind::kVelocity;
    channel.unit = "rad/s";
    channel.limits = {-limit, limit};
    channel.max_accel = 40.0;
    return channel;
}

inline CommandChannel effort_channel(std::string name, double limit) {
    CommandChannel channel;
    channel.name = std::move(name);
    channel.kind = ChannelKind::kEffort;
    channel.unit = "N m";
    channel.limits = {-limit, limit};
    channel.max_rate = 20.0;
    return channel;
}

inline StateChannel state_channel(std::string name, double limit) {
    StateChannel channel;
    channel.name = std::move(name);
    channel.limits = {-limit, limit};
    channel.max_age_ns = 20'000'000;
    return channel;
}

// The rate decides the budget: 8 ms at 100 Hz.
inline RobotConfig bench_arm(std::uint32_t controller_hz = 100) {
    RobotConfig config;
    config.id = "arm-test";
    config.control.controller_hz = controller_hz;
    config.commands = {position_channel("shoulder_pan", 3.0, 0), position_channel("elbow", 2.5, 1),
                       position_channel("wrist", 3.0, 2),        velocity_channel("rail", 0.5),
                       velocity_channel("spindle", 20.0),        effort_channel("gripper", 2.0)};
    config.commands[3].position_state = 3;
    config.commands[3].position_limits = Range{-1.0, 1.0};
    config.states = {state_channel("shoulder_pan.position", 3.2), state_channel("elbow.position", 2.7),
                     state_channel("wrist.position", 3.2), state_channel("rail.position", 1.1),
                     state_channel("spindle.velocity", 25.0)};
    return config;
}

}  // namespace holdfast
