#include "drive/cia402_profile.hpp"

#include <cmath>
#include <limits>

#include "drive/payload.hpp"

namespace holdfast::cia402 {
namespace {

// enable() is repeated every 100 cycles until the drive is enabled: the walk never pauses.
constexpr int kEnablingCycles = 100;
constexpr std::uint16_t kModesOfOperation = 0x6060;
constexpr std::uint8_t kSdoWriteOneByte = 0x2F;
constexpr std::uint8_t kSdoAbort = 0x80;

CanFrame mode_frame(std::uint32_t node, Mode mode) {
    CanFrame frame{.id = kSdoToServer + node, .size = 8};
    frame.data[0] = kSdoWriteOneByte;
    put_u16(frame, 1, kModesOfOperation);
    frame.data[4] = static_cast<std::uint8_t>(mode);
    return frame;
}

// Empty: not finite, or beyond 32 bits.
std::optional<std::int32_t> counts_of(double value, double counts_per_unit) {
    const double counts = std::nearbyint(value * counts_per_unit);
    if (!(std::abs(counts) <= std::numeric_limits<std::int32_t>::max())) return std::nullopt;
    return static_cast<std::int32_t>(counts);
}

}  // namespace

Profile::Profile(const Drive& drive, ChannelKind kind)
    : node_(drive.node),
      counts_per_unit_(drive.turns_per_unit * drive.counts_per_turn),
      mode_(kind == ChannelKind::kVelocity ? Mode::kCyclicVelocity : Mode::kCyclicPosition) {}

DriveFrames Profile::command(double value) {
    const auto target = counts_of(value, counts_per_unit_);
    if (!target) return DriveFrames(rpdo(kQuickStop, resting_target()));
    target_ = target;
    return DriveFrames(rpdo(control_word(), *target));
}

// Beside a control word that takes the motion away: the last good position, or no velocity.
std::int32_t Profile::resting_target() const {
    return mode_ == Mode::kCyclicVelocity ? 0 : target_.value_or(0);
}

CanFrame Profile::rpdo(std::uint16_t control_word, std::int32_t target) const {
    CanFrame frame{.id = kRpdo1 + node_, .size = kRpdo1Size};
    put_u16(frame, 0, control_word);
    put_i32(frame, 2, target);
    return frame;
}

std::uint16_t Profile::control_word() {
    if (reset_fault_) {
        reset_fault_ = false;
        if (in_fault()) return kFaultReset;
    }
    if (idling_ && state_ == State::kOperationEnabled) return kDisableVoltage;
    idling_ = false;
    if (enabling_cycles_ == 0) return word_that_keeps();
    --enabling_cycles_;
    // Once enabled, nothing but a new enable() enables again: a drive that lost its power stage stays off
    // when it has it back.
    if (state_ == State::kOperationEnabled) enabling_cycles_ = 0;
    return word_towards_operation();
}

std::uint16_t Profile::word_towards_operation() const {
    if (!state_) return kQuickStop;
    switch (*state_) {
        case State::kSwitchOnDisabled:
            return kShutdown;
        case State::kReadyToSwitchOn:
            return kSwitchOn;
        case State::kSwitchedOn:
        case State::kOperationEnabled:
            return right_mode_ ? kEnableOperation : kSwitchOn;
        case State::kQuickStopActive:
            return kDisableVoltage;
        case State::kNotReady:
        case State::kFaultReaction:
        case State::kFault:
            break;
    }
    return kDisableVoltage;
}

std::uint16_t Profile::word_that_keeps() const {
    if (!state_) return kQuickStop;
    switch (*state_) {
        case State::kReadyToSwitchOn:
            return kShutdown;
        case State::kSwitchedOn:
            return kSwitchOn;
        case State::kOperationEnabled:
            return right_mode_ ? kEnableOperation : kSwitchOn;
        case State::kQuickStopActive:
            return kQuickStop;
        case State::kNotReady:
        case State::kSwitchOnDisabled:
        case State::kFaultReaction:
        case State::kFault:
            break;
    }
    return kDisableVoltage;
}

DriveFrames Profile::enable() {
    enabling_cycles_ = kEnablingCycles;
    idling_ = false;
    mode_refused_ = false;
    if (!in_fault()) emergency_ = 0;
    reset_fault_ = in_fault();
    return DriveFrames(mode_frame(node_, mode_));
}

// The fault reset travels in the control word of the next command().
DriveFrames Profile::clear_errors() {
    mode_refused_ = false;
    if (!in_fault()) emergency_ = 0;
    reset_fault_ = in_fault();
    return {};
}

DriveFrames Profile::idle() {
    enabling_cycles_ = 0;
    idling_ = true;
    return DriveFrames(rpdo(kDisableVoltage, resting_target()));
}

std::vector<std::uint32_t> Profile::reports() const {
    return {kTpdo1 + node_, kTpdo2 + node_, kHeartbeat + node_, kEmergency + node_, kSdoToClient + node_};
}

std::optional<DriveSample> Profile::decode(const CanFrame& frame) {
    const bool known_size = [&] {
        if (frame.id == kTpdo1 + node_) return frame.size == kTpdo1Size;
        if (frame.id == kTpdo2 + node_) return frame.size == kTpdo2Size;
        if (frame.id == kHeartbeat + node_) return frame.size == 1;
        return (frame.id == kEmergency + node_ || frame.id == kSdoToClient + node_) && frame.size == 8;
    }();
    if (!known_size) return std::nullopt;
    if (frame.id == kTpdo1 + node_) return decode_status(frame);
    if (frame.id == kHeartbeat + node_) return decode_heartbeat(frame);
    if (frame.id == kEmergency + node_) return decode_emergency(frame);
    if (frame.id == kSdoToClient + node_) return decode_sdo(frame);
    DriveSample sample;
    sample.velocity = get_i32(frame, 0) / counts_per_unit_;
    return sample;
}

DriveSample Profile::decode_status(const CanFrame& frame) {
    const auto state = state_of(get_u16(frame, 0));
    if (state == State::kFault && state_ != State::kFault) enabling_cycles_ = 0;
    // Whoever had it cleared: the core, the drive itself, or its own panel.
    const bool was_in_fault = in_fault();
    state_ = state;
    if (was_in_fault && !in_fault()) emergency_ = 0;
    right_mode_ = static_cast<std::int8_t>(frame.data[2]) == static_cast<std::int8_t>(mode_);
    if (right_mode_) mode_refused_ = false;
    DriveSample sample;
    sample.position = get_i32(frame, 3) / counts_per_unit_;
    sample.axis_state = state_ == State::kOperationEnabled && right_mode_ ? kDriveEnabled : kDriveIdle;
    sample.axis_error = error();
    return sample;
}

DriveSample Profile::decode_heartbeat(const CanFrame& frame) {
    DriveSample sample;
    sample.heartbeat = true;
    // Bit 7 is the toggle of node guarding, the heartbeat's predecessor; it is 0 here.
    if (static_cast<NmtState>(frame.data[0]) == NmtState::kOperational) return sample;
    // It sends no PDO: what it said last is over.
    needs_start_ = true;
    state_.reset();
    right_mode_ = false;
    enabling_cycles_ = 0;
    // It has just started: what it reported before is over.
    if (static_cast<NmtState>(frame.data[0]) == NmtState::kBootUp) {
        emergency_ = 0;
        mode_refused_ = false;
    }
    sample.axis_state = kDriveIdle;
    return sample;
}

DriveSample Profile::decode_emergency(const CanFrame& frame) {
    emergency_ = get_u16(frame, 0);
    DriveSample sample;
    sample.axis_error = error();
    return sample;
}

std::optional<DriveSample> Profile::decode_sdo(const CanFrame& frame) {
    if (frame.data[0] != kSdoAbort || get_u16(frame, 1) != kModesOfOperation) return std::nullopt;
    mode_refused_ = true;
    enabling_cycles_ = 0;
    DriveSample sample;
    sample.axis_error = error();
    return sample;
}

bool Profile::in_fault() const { return state_ == State::kFault || state_ == State::kFaultReaction; }

std::uint32_t Profile::error() const {
    if (emergency_ != 0) return emergency_;
    if (mode_refused_) return kErrorModeRefused;
    return in_fault() ? kErrorFaultUnnamed : 0;
}

DriveFrames Profile::upkeep() {
    if (!needs_start_) return {};
    needs_start_ = false;
    CanFrame start{.id = kNmtId, .size = 2};
    start.data[0] = static_cast<std::uint8_t>(NmtCommand::kStart);
    start.data[1] = static_cast<std::uint8_t>(node_);
    return DriveFrames(start);
}

std::optional<CanFrame> Profile::sync() const { return CanFrame{.id = kSyncId, .size = 0}; }

}  // namespace holdfast::cia402
