#include "drive/cansimple.hpp"

#include <cmath>
#include <numbers>

namespace holdfast::cansimple {
namespace {

constexpr std::uint8_t kFullSize = 8;

CanFrame frame_of(const Drive& drive, Command command, std::uint8_t size) {
    return {.id = frame_id(drive.node, command), .size = size};
}

// What the drive is sent, in its own units.
double motor_value(const Drive& drive, ChannelKind kind, double value) {
    return kind == ChannelKind::kEffort ? value * torque_per_effort(drive.turns_per_unit)
                                        : value * drive.turns_per_unit;
}

CanFrame axis_state_frame(const Drive& drive, AxisState state) {
    CanFrame frame = frame_of(drive, Command::kSetAxisState, 4);
    put_u32(frame, 0, static_cast<std::uint32_t>(state));
    return frame;
}

std::optional<DriveSample> decode_encoder(const Drive& drive, const CanFrame& frame) {
    const double position = get_f32(frame, 0);
    const double velocity = get_f32(frame, 4);
    if (!std::isfinite(position) || !std::isfinite(velocity)) return std::nullopt;
    DriveSample sample;
    sample.position = position / drive.turns_per_unit;
    sample.velocity = velocity / drive.turns_per_unit;
    return sample;
}

// Torque_Target is at byte 0; the estimate, what is measured, at byte 4.
std::optional<DriveSample> decode_torques(const Drive& drive, const CanFrame& frame) {
    const double torque = get_f32(frame, 4);
    if (!std::isfinite(torque)) return std::nullopt;
    DriveSample sample;
    sample.effort = torque / torque_per_effort(drive.turns_per_unit);
    return sample;
}

DriveSample decode_heartbeat(const CanFrame& frame) {
    DriveSample sample;
    sample.axis_error = get_u32(frame, 0);
    sample.axis_state = frame.data[4];
    sample.heartbeat = true;
    return sample;
}

}  // namespace

double torque_per_effort(double turns_per_unit) { return 1.0 / (2.0 * std::numbers::pi * turns_per_unit); }

CanFrame command_frame(const Drive& drive, ChannelKind kind, double value) {
    const auto wire_value = static_cast<float>(motor_value(drive, kind, value));
    if (!std::isfinite(wire_value)) return frame_of(drive, Command::kEstop, 0);
    CanFrame frame;
    switch (kind) {
        case ChannelKind::kPosition:  // bytes 4..7: velocity and torque feed-forward, none
            frame = frame_of(drive, Command::kSetInputPos, kFullSize);
            break;
        case ChannelKind::kVelocity:  // bytes 4..7: torque feed-forward, none
            frame = frame_of(drive, Command::kSetInputVel, kFullSize);
            break;
        case ChannelKind::kEffort:
            frame = frame_of(drive, Command::kSetInputTorque, 4);
            break;
    }
    put_f32(frame, 0, wire_value);
    return frame;
}

std::size_t enable_frames(const Drive& drive, ChannelKind kind,
                          std::span<CanFrame, kMaxEnableFrames> frames) {
    frames[0] = clear_errors_frame(drive);
    frames[1] = frame_of(drive, Command::kSetControllerMode, kFullSize);
    put_u32(frames[1], 0, static_cast<std::uint32_t>(control_mode(kind)));
    put_u32(frames[1], 4, static_cast<std::uint32_t>(InputMode::kPassthrough));
    frames[2] = axis_state_frame(drive, AxisState::kClosedLoop);
    return kMaxEnableFrames;
}

// Byte 0: identify (blink), no.
CanFrame clear_errors_frame(const Drive& drive) { return frame_of(drive, Command::kClearErrors, 1); }

CanFrame idle_frame(const Drive& drive) { return axis_state_frame(drive, AxisState::kIdle); }

std::vector<std::uint32_t> reports(const Drive& drive) {
    return {frame_of(drive, Command::kHeartbeat, 0).id, frame_of(drive, Command::kGetEncoderEstimates, 0).id,
            frame_of(drive, Command::kGetTorques, 0).id};
}

std::optional<DriveSample> decode(const Drive& drive, const CanFrame& frame) {
    if (node_of(frame) != drive.node || frame.size != kFullSize) return std::nullopt;
    switch (command_of(frame)) {
        case Command::kHeartbeat:
            return decode_heartbeat(frame);
        case Command::kGetEncoderEstimates:
            return decode_encoder(drive, frame);
        case Command::kGetTorques:
            return decode_torques(drive, frame);
        default:
            return std::nullopt;
    }
}

}  // namespace holdfast::cansimple
