// Which joints of a robot can be estimated, from which states, and with which model.
#pragma once

#include <optional>
#include <vector>

#include "estimate/attitude_filter.hpp"
#include "estimate/joint_filter.hpp"
#include "robot/config.hpp"

namespace holdfast::estimate {

struct Joint {
    std::size_t command{};                // index into commands: a joint has its command channel's index
    std::optional<std::size_t> position;  // index into states
    std::optional<std::size_t> velocity;  // index into states
    JointModel model;
};

// Every command channel whose drive measures a position or a velocity. None if [estimator] is not enabled.
[[nodiscard]] std::vector<Joint> joints_of(const RobotConfig& config);

[[nodiscard]] AttitudeModel attitude_model(const EstimatorConfig& config);

}  // namespace holdfast::estimate
