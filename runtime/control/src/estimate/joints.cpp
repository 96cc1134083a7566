#include "estimate/joints.hpp"

#include <algorithm>
#include <cmath>

#include "estimate/chi_square.hpp"

namespace holdfast::estimate {
namespace {

// An effort channel has no rates of its own: it takes up its largest velocity within this time.
constexpr double kEffortRiseS = 0.1;

double largest(const Range& range) { return std::max(std::abs(range.min), std::abs(range.max)); }

std::optional<std::size_t> state_of(const RobotConfig& config, std::size_t drive, Quantity quantity) {
    for (std::size_t s = 0; s < config.states.size(); ++s) {
        const StateChannel& state = config.states[s];
        if (!state.sensor && state.drive == drive && state.quantity == quantity) return s;
    }
    return std::nullopt;
}

double largest_velocity(const RobotConfig& config, const Joint& joint) {
    const CommandChannel& channel = config.commands[joint.command];
    if (channel.kind == ChannelKind::kVelocity) return largest(channel.limits);
    if (channel.kind == ChannelKind::kPosition) return channel.max_rate;
    if (joint.velocity) return largest(config.states[*joint.velocity].limits);
    if (!joint.position) return 0.0;
    const Range& travel = config.states[*joint.position].limits;
    return (travel.max - travel.min) / kEffortRiseS;
}

double largest_acceleration(const CommandChannel& channel, double velocity) {
    return channel.kind == ChannelKind::kEffort ? velocity / kEffortRiseS : channel.max_accel;
}

double noise_of(const RobotConfig& config, const std::optional<std::size_t>& state, double otherwise) {
    return state ? config.states[*state].noise.value_or(otherwise) : otherwise;
}

TrustLimits trust_limits(const EstimatorConfig& config, double gate) {
    return {.gate = gate, .max_rejections = config.max_rejections, .recovery = config.recovery_samples};
}

JointModel model_of(const RobotConfig& config, const Joint& joint) {
    const EstimatorConfig& e = config.estimator;
    const double velocity = largest_velocity(config, joint);
    const double acceleration = largest_acceleration(config.commands[joint.command], velocity);
    JointModel model;
    model.measures_position = joint.position.has_value();
    model.jerk_density = acceleration * acceleration / e.acceleration_time_s;
    model.position_std = noise_of(config, joint.position, e.position_noise * velocity);
    model.velocity_std = noise_of(config, joint.velocity, e.velocity_noise * velocity);
    // A drive's clock and the loop's drift: a sample is up to one cycle old when it is used.
    model.timing_std_s = e.timing_noise_s.value_or(1.0 / config.control.tier1_hz);
    model.start_velocity_std = velocity;
    model.start_acceleration_std = acceleration;
    model.trust = trust_limits(e, chi_square_bound_1(e.rejection_probability));
    return model;
}

}  // namespace

std::vector<Joint> joints_of(const RobotConfig& config) {
    std::vector<Joint> joints;
    if (!config.estimator.enabled) return joints;
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        Joint joint;
        joint.command = config.drives[d].command;
        joint.position = config.commands[joint.command].position_state;
        if (!joint.position) joint.position = state_of(config, d, Quantity::kPosition);
        joint.velocity = state_of(config, d, Quantity::kVelocity);
        if (!joint.position && !joint.velocity) continue;
        joint.model = model_of(config, joint);
        joints.push_back(joint);
    }
    return joints;
}

AttitudeModel attitude_model(const EstimatorConfig& config) {
    AttitudeModel model;
    model.gyro_noise = config.gyro_noise;
    model.bias_walk = config.gyro_bias_walk;
    model.accelerometer_std = config.accelerometer_noise;
    model.accelerometer_gate = config.accelerometer_gate;
    model.trust = trust_limits(config, chi_square_bound_3(config.rejection_probability));
    return model;
}

}  // namespace holdfast::estimate
