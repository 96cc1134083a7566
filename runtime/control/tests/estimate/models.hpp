// Models of ordinary size: a joint of 2 rad/s and 10 rad/s^2, an IMU of the cheap kind.
#pragma once

#include "estimate/attitude_filter.hpp"
#include "estimate/joint_filter.hpp"

namespace holdfast::estimate {

inline JointModel joint_model() {
    return {.measures_position = true,
            .jerk_density = 1e4,
            .position_std = 2e-4,
            .velocity_std = 0.02,
            .timing_std_s = 0.0,
            .start_velocity_std = 2.0,
            .start_acceleration_std = 10.0,
            .trust = {.gate = 23.9, .max_rejections = 10, .recovery = 50}};
}

inline AttitudeModel attitude_model() {
    AttitudeModel model;
    model.gyro_noise = 5e-3;
    model.bias_walk = 1e-4;
    model.accelerometer_std = 0.5;
    model.accelerometer_gate = 2.0;
    model.trust = {.gate = 30.7, .max_rejections = 10, .recovery = 50};
    return model;
}

}  // namespace holdfast::estimate
