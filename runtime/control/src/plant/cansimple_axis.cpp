#include "plant/cansimple_axis.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast::plant {
namespace {

using cansimple::AxisState;
using cansimple::Command;
using cansimple::ControlMode;

ChannelKind kind_of(ControlMode mode) {
    switch (mode) {
        case ControlMode::kPosition:
            return ChannelKind::kPosition;
        case ControlMode::kVelocity:
            return ChannelKind::kVelocity;
        case ControlMode::kTorque:
            break;
    }
    return ChannelKind::kEffort;
}

bool has_effort_state(const RobotConfig& config, std::size_t drive) {
    return std::any_of(config.states.begin(), config.states.end(), [&](const StateChannel& state) {
        return !state.sensor && state.drive == drive && state.quantity == Quantity::kEffort;
    });
}

CanFrame pair_frame(std::uint32_t node, Command command, double first, double second) {
    CanFrame frame{.id = cansimple::frame_id(node, command), .size = 8};
    cansimple::put_f32(frame, 0, static_cast<float>(first));
    cansimple::put_f32(frame, 4, static_cast<float>(second));
    return frame;
}

}  // namespace

CanSimpleAxis::CanSimpleAxis(const RobotConfig& config, std::size_t drive)
    : drive_(config.drives[drive]),
      joint_(capability_of(config, config.drives[drive])),
      reports_torque_(has_effort_state(config, drive)),
      mode_(cansimple::control_mode(config.commands[drive_.command].kind)) {
    rest_at_present_position();
}

// What a drive does on its way into closed loop, so that an old input moves nothing.
void CanSimpleAxis::rest_at_present_position() {
    input_ = mode_ == ControlMode::kPosition ? joint_.state().position : 0.0;
}

void CanSimpleAxis::fail(std::uint32_t code) {
    axis_error_ |= code;
    axis_state_ = AxisState::kIdle;
}

std::optional<Received> CanSimpleAxis::receive(const CanFrame& frame) {
    const Command command = cansimple::command_of(frame);
    switch (command) {
        case Command::kEstop:
            fail(cansimple::kAxisErrorEstopRequested);
            return Received{};
        case Command::kClearErrors:
            axis_error_ = 0;
            return Received{};
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
std::optional<Received> CanSimpleAxis::receive_axis_state(std::uint32_t requested) {
    const auto state = static_cast<AxisState>(requested);
    if (state != AxisState::kIdle && state != AxisState::kClosedLoop) return std::nullopt;
    if (state == AxisState::kClosedLoop && axis_error_ != 0) return Received{.value = requested};
    if (state == AxisState::kClosedLoop && axis_state_ != AxisState::kClosedLoop) rest_at_present_position();
    axis_state_ = state;
    return Received{.value = requested};
}

std::optional<Received> CanSimpleAxis::receive_mode(std::uint32_t mode) {
    const auto wanted = static_cast<ControlMode>(mode);
    if (wanted != ControlMode::kTorque && wanted != ControlMode::kVelocity &&
        wanted != ControlMode::kPosition) {
        return std::nullopt;
    }
    if (wanted != mode_) {
        mode_ = wanted;
        rest_at_present_position();
    }
    return Received{.value = mode};
}

// An input of another mode than the present one is understood and has no effect.
std::optional<Received> CanSimpleAxis::receive_input(const CanFrame& frame, Command command) {
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
    return Received{.value = value};
}

void CanSimpleAxis::step(double dt_s) {
    joint_.step({axis_state_ == AxisState::kClosedLoop, kind_of(mode_), input_}, dt_s);
}

DriveFrames CanSimpleAxis::feedback(Due due, const JointState& measured) {
    DriveFrames frames;
    if (due.feedback) {
        frames.add(pair_frame(drive_.node, Command::kGetEncoderEstimates,
                              measured.position * drive_.turns_per_unit,
                              measured.velocity * drive_.turns_per_unit));
    }
    if (due.feedback && reports_torque_) {
        const double torque = measured.effort * cansimple::torque_per_effort(drive_.turns_per_unit);
        frames.add(pair_frame(drive_.node, Command::kGetTorques, torque, torque));
    }
    if (due.heartbeat) {
        CanFrame heartbeat{.id = cansimple::frame_id(drive_.node, Command::kHeartbeat), .size = 8};
        cansimple::put_u32(heartbeat, 0, axis_error_);
        heartbeat.data[4] = static_cast<std::uint8_t>(axis_state_);
        frames.add(heartbeat);
    }
    return frames;
}

const char* CanSimpleAxis::state_name() const {
    return axis_state_ == AxisState::kClosedLoop ? "closed_loop" : "idle";
}

const char* CanSimpleAxis::mode_name() const {
    switch (mode_) {
        case ControlMode::kPosition:
            return "position";
        case ControlMode::kVelocity:
            return "velocity";
        case ControlMode::kTorque:
            break;
    }
    return "torque";
}

}  // namespace holdfast::plant
