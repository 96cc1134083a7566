#include "plant/joint.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast::plant {
namespace {

// The joint can do this much more than its channel is allowed to ask for.
constexpr double kReserve = 2.0;
// Position loop: natural frequency of a critically damped second-order follower.
constexpr double kPositionRadPerS = 60.0;
// Velocity loop: time constant of a first-order follower.
constexpr double kVelocityTimeS = 0.02;
// An effort channel at its limit reaches this acceleration from rest, and this velocity in the end.
constexpr double kEffortAccel = 5.0;
constexpr double kEffortVelocity = 0.5;
constexpr double kFrictionShare = 0.02;  // of the effort limit
// Without current a joint comes to rest by its bearings.
constexpr double kIdleTimeS = 0.1;

double largest(const Range& range) { return std::max(std::abs(range.min), std::abs(range.max)); }

}  // namespace

Capability capability_of(const RobotConfig& config, const Drive& drive) {
    const CommandChannel& channel = config.commands[drive.command];
    Capability capability;
    switch (channel.kind) {
        case ChannelKind::kPosition:
            capability.velocity = kReserve * channel.max_rate;
            capability.accel = kReserve * channel.max_accel;
            break;
        case ChannelKind::kVelocity:
            capability.velocity = kReserve * largest(channel.limits);
            capability.accel = kReserve * channel.max_accel;
            break;
        case ChannelKind::kEffort:
            capability.velocity = kEffortVelocity;
            capability.accel = kReserve * kEffortAccel;
            capability.friction = kFrictionShare * largest(channel.limits);
            break;
    }
    const double effort_limit = channel.kind == ChannelKind::kEffort ? largest(channel.limits) : 1.0;
    capability.inertia = effort_limit / kEffortAccel;
    capability.damping = effort_limit / kEffortVelocity;
    for (const StateChannel& state : config.states) {
        if (!state.sensor && &config.drives[state.drive] == &drive && state.quantity == Quantity::kPosition) {
            capability.end_stops = state.limits;
        }
    }
    return capability;
}

// Zero may lie beyond the end stops.
Joint::Joint(Capability capability) : capability_(capability) { keep_within_end_stops(); }

// Semi-implicit in damping and friction, which alone can never turn a motion round.
double Joint::acceleration_under_effort(double effort, double dt_s) const {
    const double pushed = state_.velocity + effort / capability_.inertia * dt_s;
    const double damped = pushed / (1.0 + capability_.damping / capability_.inertia * dt_s);
    const double held = capability_.friction / capability_.inertia * dt_s;
    const double velocity = std::abs(damped) <= held ? 0.0 : damped - std::copysign(held, damped);
    return (velocity - state_.velocity) / dt_s;
}

double Joint::acceleration(const Demand& demand, double dt_s) const {
    const double loaded = load_ / capability_.inertia;
    if (!demand.driven) return loaded - state_.velocity / std::max(kIdleTimeS, dt_s);
    switch (demand.mode) {
        case ChannelKind::kPosition:
            return loaded + kPositionRadPerS * kPositionRadPerS * (demand.input - state_.position) -
                   2.0 * kPositionRadPerS * state_.velocity;
        case ChannelKind::kVelocity:
            return loaded + (demand.input - state_.velocity) / std::max(kVelocityTimeS, dt_s);
        case ChannelKind::kEffort:
            break;
    }
    return acceleration_under_effort(demand.input + load_, dt_s);
}

void Joint::step(const Demand& demand, double dt_s) {
    const double accel = std::clamp(acceleration(demand, dt_s), -capability_.accel, capability_.accel);
    state_.velocity = std::clamp(state_.velocity + accel * dt_s, -capability_.velocity, capability_.velocity);
    state_.position += state_.velocity * dt_s;
    const bool by_effort = demand.mode == ChannelKind::kEffort;
    state_.effort = !demand.driven ? 0.0 : by_effort ? demand.input : accel * capability_.inertia - load_;
    keep_within_end_stops();
}

void Joint::keep_within_end_stops() {
    if (!capability_.end_stops) return;
    const double stopped =
        std::clamp(state_.position, capability_.end_stops->min, capability_.end_stops->max);
    if (stopped != state_.position) state_.velocity = 0.0;
    state_.position = stopped;
}

}  // namespace holdfast::plant
