#include "plant/cia402_axis.hpp"

#include <algorithm>
#include <cmath>

#include "drive/payload.hpp"

namespace holdfast::plant {
namespace {

using cia402::Mode;
using cia402::NmtState;
using cia402::State;

constexpr double kStandstill = 1e-3;  // channel units a second: the quick stop is over
constexpr std::uint16_t kModesOfOperation = 0x6060;
constexpr std::uint8_t kWriteOneByte = 0x2F;
constexpr std::uint8_t kWritten = 0x60;
constexpr std::uint8_t kAbort = 0x80;
constexpr std::uint32_t kValueRangeExceeded = 0x0609'0030;

// Commands of the control word (CiA 402-2): the bits that decide, and their values.
bool is_command(std::uint16_t word, std::uint16_t mask, std::uint16_t value) {
    return (word & mask) == value;
}
bool is_shutdown(std::uint16_t word) { return is_command(word, 0x87, 0x06); }
bool is_switch_on(std::uint16_t word) { return is_command(word, 0x8F, 0x07); }
bool is_enable_operation(std::uint16_t word) { return is_command(word, 0x8F, 0x0F); }
bool is_disable_voltage(std::uint16_t word) { return is_command(word, 0x82, 0x00); }
bool is_quick_stop(std::uint16_t word) { return is_command(word, 0x86, 0x02); }

bool is_known(std::int8_t mode) {
    return mode == static_cast<std::int8_t>(Mode::kCyclicPosition) ||
           mode == static_cast<std::int8_t>(Mode::kCyclicVelocity);
}

}  // namespace

Cia402Axis::Cia402Axis(const RobotConfig& config, std::size_t drive)
    : drive_(config.drives[drive]),
      joint_(capability_of(config, config.drives[drive])),
      counts_per_unit_(drive_.turns_per_unit * drive_.counts_per_turn) {
    rest_at_present_position();
}

bool Cia402Axis::hears(const CanFrame& frame) const {
    return frame.id == cia402::kNmtId || frame.id == cia402::kSyncId ||
           frame.id == cia402::kRpdo1 + drive_.node || frame.id == cia402::kSdoToServer + drive_.node;
}

std::optional<Received> Cia402Axis::receive(const CanFrame& frame) {
    if (frame.id == cia402::kNmtId) return receive_network_command(frame);
    if (frame.id == cia402::kSdoToServer + drive_.node) return receive_sdo(frame);
    if (frame.id == cia402::kSyncId) return frame.size == 0 ? std::optional(Received{}) : std::nullopt;
    return receive_rpdo(frame);
}

std::optional<Received> Cia402Axis::receive_network_command(const CanFrame& frame) {
    if (frame.size != 2 || frame.data[0] != static_cast<std::uint8_t>(cia402::NmtCommand::kStart))
        return std::nullopt;
    if (frame.data[1] == 0 || frame.data[1] == drive_.node) network_ = NmtState::kOperational;
    return Received{.value = frame.data[0]};
}

std::optional<Received> Cia402Axis::receive_sdo(const CanFrame& frame) {
    if (frame.size != 8) return std::nullopt;
    CanFrame reply{.id = cia402::kSdoToClient + drive_.node, .size = 8};
    std::copy_n(frame.data.begin() + 1, 3, reply.data.begin() + 1);
    const auto wanted = static_cast<std::int8_t>(frame.data[4]);
    const bool writes_mode = frame.data[0] == kWriteOneByte && get_u16(frame, 1) == kModesOfOperation;
    if (!writes_mode || !is_known(wanted)) {
        reply.data[0] = kAbort;
        put_u32(reply, 4, kValueRangeExceeded);
        return Received{.value = {}, .reply = reply};
    }
    reply.data[0] = kWritten;
    if (wanted != mode_) {
        mode_ = wanted;
        rest_at_present_position();
    }
    return Received{.value = wanted, .reply = reply};
}

std::optional<Received> Cia402Axis::receive_rpdo(const CanFrame& frame) {
    if (frame.size != cia402::kRpdo1Size) return std::nullopt;
    if (network_ != NmtState::kOperational) return Received{};  // PDOs are not taken before that
    obey(get_u16(frame, 0));
    const double value = get_i32(frame, 2) / counts_per_unit_;
    const bool velocity = mode_ == static_cast<std::int8_t>(Mode::kCyclicVelocity);
    if (velocity) input_vel_max_abs_ = std::max(input_vel_max_abs_, std::abs(value));
    if (state_ == State::kOperationEnabled) input_ = value;
    return Received{.value = value};
}

// One transition a control word, as drives do it.
void Cia402Axis::obey(std::uint16_t word) {
    const bool reset_edge = (word & cia402::kFaultReset) != 0 && (control_word_ & cia402::kFaultReset) == 0;
    control_word_ = word;
    switch (state_) {
        case State::kFault:
            if (!reset_edge) return;
            error_code_ = 0;
            error_changed_ = true;
            return go_to(State::kSwitchOnDisabled);
        case State::kSwitchOnDisabled:
            if (is_shutdown(word)) go_to(State::kReadyToSwitchOn);
            return;
        case State::kReadyToSwitchOn:
            if (is_disable_voltage(word) || is_quick_stop(word)) return go_to(State::kSwitchOnDisabled);
            if (is_switch_on(word) || is_enable_operation(word)) go_to(State::kSwitchedOn);
            return;
        case State::kSwitchedOn:
            if (is_disable_voltage(word) || is_quick_stop(word)) return go_to(State::kSwitchOnDisabled);
            if (is_shutdown(word)) return go_to(State::kReadyToSwitchOn);
            if (is_enable_operation(word) && is_known(mode_)) go_to(State::kOperationEnabled);
            return;
        case State::kOperationEnabled:
            if (is_disable_voltage(word)) return go_to(State::kSwitchOnDisabled);
            if (is_quick_stop(word)) return go_to(State::kQuickStopActive);
            if (is_shutdown(word)) return go_to(State::kReadyToSwitchOn);
            if (is_switch_on(word)) go_to(State::kSwitchedOn);
            return;
        case State::kQuickStopActive:
            if (is_disable_voltage(word)) go_to(State::kSwitchOnDisabled);
            return;
        case State::kNotReady:
        case State::kFaultReaction:
            return;
    }
}

void Cia402Axis::go_to(State state) {
    state_ = state;
    if (state == State::kOperationEnabled) rest_at_present_position();
}

// What a drive does on its way into operation, so that an old target moves nothing.
void Cia402Axis::rest_at_present_position() {
    input_ = mode_ == static_cast<std::int8_t>(Mode::kCyclicVelocity) ? 0.0 : joint_.state().position;
}

void Cia402Axis::fail(std::uint32_t code) {
    error_code_ = static_cast<std::uint16_t>(code);
    error_changed_ = true;
    go_to(State::kFault);
}

void Cia402Axis::step(double dt_s) {
    if (state_ == State::kQuickStopActive) {
        joint_.step({true, ChannelKind::kVelocity, 0.0}, dt_s);
        if (std::abs(joint_.state().velocity) < kStandstill) go_to(State::kSwitchOnDisabled);
        return;
    }
    const bool velocity = mode_ == static_cast<std::int8_t>(Mode::kCyclicVelocity);
    joint_.step({state_ == State::kOperationEnabled,
                 velocity ? ChannelKind::kVelocity : ChannelKind::kPosition, input_},
                dt_s);
}

DriveFrames Cia402Axis::feedback(Due due, const JointState& measured) {
    DriveFrames frames;
    if (due.heartbeat) {
        CanFrame heartbeat{.id = cia402::kHeartbeat + drive_.node, .size = 1};
        heartbeat.data[0] = static_cast<std::uint8_t>(network_);
        frames.add(heartbeat);
        if (network_ == NmtState::kBootUp) network_ = NmtState::kPreOperational;
    }
    if (error_changed_) {
        error_changed_ = false;
        CanFrame emergency{.id = cia402::kEmergency + drive_.node, .size = 8};
        put_u16(emergency, 0, error_code_);
        frames.add(emergency);
    }
    if (!due.feedback || network_ != NmtState::kOperational) return frames;
    CanFrame status{.id = cia402::kTpdo1 + drive_.node, .size = cia402::kTpdo1Size};
    put_u16(status, 0, cia402::status_word_of(state_));
    status.data[2] = static_cast<std::uint8_t>(mode_);
    put_i32(status, 3, static_cast<std::int32_t>(std::nearbyint(measured.position * counts_per_unit_)));
    frames.add(status);
    CanFrame velocity{.id = cia402::kTpdo2 + drive_.node, .size = cia402::kTpdo2Size};
    put_i32(velocity, 0, static_cast<std::int32_t>(std::nearbyint(measured.velocity * counts_per_unit_)));
    frames.add(velocity);
    return frames;
}

const char* Cia402Axis::state_name() const {
    switch (state_) {
        case State::kNotReady:
            return "not_ready";
        case State::kSwitchOnDisabled:
            return "switch_on_disabled";
        case State::kReadyToSwitchOn:
            return "ready_to_switch_on";
        case State::kSwitchedOn:
            return "switched_on";
        case State::kOperationEnabled:
            return "operation_enabled";
        case State::kQuickStopActive:
            return "quick_stop_active";
        case State::kFaultReaction:
            return "fault_reaction";
        case State::kFault:
            break;
    }
    return "fault";
}

const char* Cia402Axis::mode_name() const {
    if (mode_ == static_cast<std::int8_t>(Mode::kCyclicPosition)) return "position";
    return mode_ == static_cast<std::int8_t>(Mode::kCyclicVelocity) ? "velocity" : "none";
}

}  // namespace holdfast::plant
