#include "plant/axis.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast::plant {
namespace {

using cansimple::AxisState;
using cansimple::Command;
using cansimple::ControlMode;

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
// Encoder noise, in motor turns and turns/s, one standard deviation.
constexpr double kNoiseTurns = 1e-4;
constexpr double kNoiseTurnsPerS = 1e-2;

double largest(const Range& range) { return std::max(std::abs(range.min), std::abs(range.max)); }

ControlMode mode_of(ChannelKind kind) {
    switch (kind) {
        case ChannelKind::kPosition:
            return ControlMode::kPosition;
        case ChannelKind::kVelocity:
            return ControlMode::kVelocity;
        case ChannelKind::kEffort:
            break;
    }
    return ControlMode::kTorque;
}

bool has_state(const RobotConfig& config, std::size_t drive, Quantity quantity) {
    return std::any_of(config.states.begin(), config.states.end(), [&](const StateChannel& state) {
        return state.drive == drive && state.quantity == quantity;
    });
}

CanFrame pair_frame(std::uint32_t node, Command command, double first, double second) {
    CanFrame frame{.id = cansimple::frame_id(node, command), .size = 8};
    cansimple::put_f32(frame, 0, static_cast<float>(first));
    cansimple::put_f32(frame, 4, static_cast<float>(second));
    return frame;
}

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
        if (&config.drives[state.drive] == &drive && state.quantity == Quantity::kPosition) {
            capability.end_stops = state.limits;
        }
    }
    return capability;
}

Axis::Axis(const RobotConfig& config, std::size_t drive)
    : drive_(config.drives[drive]),
      capability_(capability_of(config, config.drives[drive])),
      reports_torque_(has_state(config, drive, Quantity::kEffort)),
      mode_(mode_of(config.commands[drive_.command].kind)) {
    keep_within_end_stops();  // zero may lie beyond them
    rest_at_present_position();
}

// What a drive does on its way into closed loop, so that an old input moves nothing.
void Axis::rest_at_present_position() { input_ = mode_ == ControlMode::kPosition ? joint_.position : 0.0; }

std::optional<Received> Axis::receive(const CanFrame& frame) {
    const Command command = cansimple::command_of(frame);
    switch (command) {
        case Command::kEstop:
            axis_error_ |= cansimple::kAxisErrorEstopRequested;
            axis_state_ = AxisState::kIdle;
            return Received{command, std::nullopt};
        case Command::kClearErrors:
            axis_error_ = 0;
            return Received{command, std::nullopt};
        case Command::kSetAxisState:
            if (frame.size < 4) return std::nullopt;
            return receive_axis_state(cansimple::get_u32(frame, 0));
        case Command::kSetControllerMode:
            if (frame.size < 8) return std::nullopt;
            return receive_mode(cansimple::get_u32(frame, 0));
        case Command::kSetInputPos:
        case Command::kSetInputVel:
        case Command::kSetInputTorque:
            return receive_input(frame, command);
        default:
            return std::nullopt;
    }
}

// A drive with an error refuses closed loop until the error is cleared.
std::optional<Received> Axis::receive_axis_state(std::uint32_t requested) {
    const auto state = static_cast<AxisState>(requested);
    if (state != AxisState::kIdle && state != AxisState::kClosedLoop) return std::nullopt;
    if (state == AxisState::kClosedLoop && axis_error_ != 0)
        return Received{Command::kSetAxisState, requested};
    if (state == AxisState::kClosedLoop && axis_state_ != AxisState::kClosedLoop) rest_at_present_position();
    axis_state_ = state;
    return Received{Command::kSetAxisState, requested};
}

std::optional<Received> Axis::receive_mode(std::uint32_t mode) {
    const auto wanted = static_cast<ControlMode>(mode);
    if (wanted != ControlMode::kTorque && wanted != ControlMode::kVelocity &&
        wanted != ControlMode::kPosition) {
        return std::nullopt;
    }
    if (wanted != mode_) {
        mode_ = wanted;
        rest_at_present_position();
    }
    return Received{Command::kSetControllerMode, mode};
}

// An input of another mode than the present one is understood and has no effect.
std::optional<Received> Axis::receive_input(const CanFrame& frame, Command command) {
    const std::uint8_t size = command == Command::kSetInputTorque ? 4 : 8;
    const double raw = cansimple::get_f32(frame, 0);
    if (frame.size < size || !std::isfinite(raw)) return std::nullopt;
    const bool torque = command == Command::kSetInputTorque;
    const double value =
        torque ? raw / cansimple::torque_per_effort(drive_.turns_per_unit) : raw / drive_.turns_per_unit;
    if (command == Command::kSetInputVel) input_vel_max_abs_ = std::max(input_vel_max_abs_, std::abs(value));
    const ControlMode mode = torque                             ? ControlMode::kTorque
                             : command == Command::kSetInputVel ? ControlMode::kVelocity
                                                                : ControlMode::kPosition;
    if (mode == mode_) input_ = value;
    return Received{command, value};
}

// Semi-implicit in damping and friction, which alone can never turn a motion round.
double Axis::acceleration_under_effort(double effort, double dt_s) const {
    const double pushed = joint_.velocity + effort / capability_.inertia * dt_s;
    const double damped = pushed / (1.0 + capability_.damping / capability_.inertia * dt_s);
    const double held = capability_.friction / capability_.inertia * dt_s;
    const double velocity = std::abs(damped) <= held ? 0.0 : damped - std::copysign(held, damped);
    return (velocity - joint_.velocity) / dt_s;
}

double Axis::acceleration(double dt_s) const {
    if (axis_state_ != AxisState::kClosedLoop) return -joint_.velocity / std::max(kIdleTimeS, dt_s);
    switch (mode_) {
        case ControlMode::kPosition:
            return kPositionRadPerS * kPositionRadPerS * (input_ - joint_.position) -
                   2.0 * kPositionRadPerS * joint_.velocity;
        case ControlMode::kVelocity:
            return (input_ - joint_.velocity) / std::max(kVelocityTimeS, dt_s);
        case ControlMode::kTorque:
            break;
    }
    return acceleration_under_effort(input_, dt_s);
}

void Axis::step(double dt_s) {
    const double accel = std::clamp(acceleration(dt_s), -capability_.accel, capability_.accel);
    joint_.velocity = std::clamp(joint_.velocity + accel * dt_s, -capability_.velocity, capability_.velocity);
    joint_.position += joint_.velocity * dt_s;
    const bool driven = axis_state_ == AxisState::kClosedLoop;
    joint_.effort = !driven ? 0.0 : mode_ == ControlMode::kTorque ? input_ : accel * capability_.inertia;
    keep_within_end_stops();
}

void Axis::keep_within_end_stops() {
    if (!capability_.end_stops) return;
    const double stopped =
        std::clamp(joint_.position, capability_.end_stops->min, capability_.end_stops->max);
    if (stopped != joint_.position) joint_.velocity = 0.0;
    joint_.position = stopped;
}

std::size_t Axis::feedback(bool heartbeat_due, std::mt19937_64* noise,
                           std::span<CanFrame, kMaxFeedbackFrames> frames) const {
    double turns = joint_.position * drive_.turns_per_unit;
    double turns_per_s = joint_.velocity * drive_.turns_per_unit;
    if (noise != nullptr) {
        turns += std::normal_distribution<double>(0.0, kNoiseTurns)(*noise);
        turns_per_s += std::normal_distribution<double>(0.0, kNoiseTurnsPerS)(*noise);
    }
    std::size_t count = 0;
    frames[count++] = pair_frame(drive_.node, Command::kGetEncoderEstimates, turns, turns_per_s);
    if (reports_torque_) {
        const double torque = joint_.effort * cansimple::torque_per_effort(drive_.turns_per_unit);
        frames[count++] = pair_frame(drive_.node, Command::kGetTorques, torque, torque);
    }
    if (heartbeat_due) {
        CanFrame heartbeat{.id = cansimple::frame_id(drive_.node, Command::kHeartbeat), .size = 8};
        cansimple::put_u32(heartbeat, 0, axis_error_);
        heartbeat.data[4] = static_cast<std::uint8_t>(axis_state_);
        frames[count++] = heartbeat;
    }
    return count;
}

}  // namespace holdfast::plant
