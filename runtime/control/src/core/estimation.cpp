#include "core/estimation.hpp"

#include <algorithm>
#include <limits>

namespace holdfast::core {
namespace {

using estimate::AttitudeCounts;
using estimate::JointCounts;
using shm::Counter;

// The sample of a state, if it is newer than the one used last.
std::optional<double> newer(const DriveBus& bus, const std::optional<std::size_t>& state,
                            std::int64_t& used_ns) {
    if (!state) return std::nullopt;
    const Sample& sample = bus.sample(*state);
    if (sample.mono_ns == used_ns) return std::nullopt;
    used_ns = sample.mono_ns;
    return sample.value;
}

bool heard(const DriveBus& bus, const std::optional<std::size_t>& state, std::int64_t now_ns) {
    return !state || bus.fresh(*state, now_ns);
}

Eigen::Vector3d vector_of(const DriveBus& bus, const std::array<std::size_t, 3>& states) {
    return {bus.sample(states[0]).value, bus.sample(states[1]).value, bus.sample(states[2]).value};
}

bool all_fresh(const DriveBus& bus, const std::array<std::size_t, 3>& states, std::int64_t now_ns) {
    return std::all_of(states.begin(), states.end(), [&](std::size_t s) { return bus.fresh(s, now_ns); });
}

}  // namespace

Estimation::Estimation(const RobotConfig& config, std::optional<ImuStates> imu) {
    for (const estimate::Joint& joint : estimate::joints_of(config))
        joints_.push_back({joint, estimate::JointFilter(joint.model)});
    for (std::size_t c = 0; c < config.commands.size(); ++c) {
        if (config.commands[c].position_state) needed_ |= 1u << c;
    }
    if (imu && config.estimator.enabled)
        attitude_ = Attitude{*imu, estimate::AttitudeFilter(estimate::attitude_model(config.estimator))};
}

void Estimation::update(const DriveBus& bus, std::int64_t now_ns, double dt_s, Counters& counters) {
    failed_ = 0;
    for (Tracked& tracked : joints_) {
        track(tracked, bus, now_ns, dt_s, counters);
        if (tracked.filter.health() != EstimateHealth::kUnhealthy) continue;
        failed_ |= 1u << tracked.joint.command;
        counters.add(Counter::kEstimateUnhealthy);
    }
    if (attitude_) track(*attitude_, bus, now_ns, dt_s, counters);
}

void Estimation::track(Tracked& tracked, const DriveBus& bus, std::int64_t now_ns, double dt_s,
                       Counters& counters) {
    const estimate::Joint& joint = tracked.joint;
    const JointCounts before = tracked.filter.counts();
    tracked.filter.predict(dt_s);
    tracked.filter.update({.position = newer(bus, joint.position, tracked.position_ns),
                           .velocity = newer(bus, joint.velocity, tracked.velocity_ns)});
    const auto& leading = joint.position ? joint.position : joint.velocity;
    if (!heard(bus, leading, now_ns)) tracked.filter.starve();
    const JointCounts& after = tracked.filter.counts();
    counters.add(Counter::kEstimateRejected, after.rejected - before.rejected);
    counters.add(Counter::kEstimateNotFinite, after.not_finite - before.not_finite);
    counters.add(Counter::kEstimateRestarts, after.restarts - before.restarts);
}

void Estimation::track(Attitude& attitude, const DriveBus& bus, std::int64_t now_ns, double dt_s,
                       Counters& counters) {
    const AttitudeCounts before = attitude.filter.counts();
    if (!all_fresh(bus, attitude.states.angular_rate, now_ns) ||
        !all_fresh(bus, attitude.states.acceleration, now_ns))
        return attitude.filter.starve();
    attitude.filter.predict(dt_s, vector_of(bus, attitude.states.angular_rate));
    const std::int64_t taken_ns = bus.sample(attitude.states.acceleration[2]).mono_ns;
    if (taken_ns != attitude.acceleration_ns)
        attitude.filter.update(vector_of(bus, attitude.states.acceleration));
    attitude.acceleration_ns = taken_ns;
    const AttitudeCounts& after = attitude.filter.counts();
    counters.add(Counter::kEstimateRejected, after.rejected - before.rejected);
    counters.add(Counter::kEstimateNotFinite, after.not_finite - before.not_finite);
    counters.add(Counter::kEstimateRestarts, after.restarts - before.restarts);
    counters.add(Counter::kAttitudeGated, after.gated - before.gated);
}

void Estimation::publish(shm::StateData& data) const {
    for (const Tracked& tracked : joints_) {
        const std::size_t c = tracked.joint.command;
        data.joint_position[c] =
            tracked.joint.position ? tracked.filter.state()[0] : std::numeric_limits<double>::quiet_NaN();
        data.joint_velocity[c] = tracked.filter.state()[1];
        data.joint_acceleration[c] = tracked.filter.state()[2];
        data.joint_innovation[c] = tracked.filter.mean_innovation();
        data.joint_health[c] = tracked.filter.health();
    }
    if (!attitude_) return;
    const Eigen::Quaterniond& q = attitude_->filter.attitude();
    data.attitude = {q.w(), q.x(), q.y(), q.z()};
    const Eigen::Vector3d& bias = attitude_->filter.bias();
    data.gyro_bias = {bias.x(), bias.y(), bias.z()};
    data.attitude_innovation = attitude_->filter.mean_innovation();
    data.attitude_health = attitude_->filter.health();
}

}  // namespace holdfast::core
