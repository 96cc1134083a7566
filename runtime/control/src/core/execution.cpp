#include "core/execution.hpp"

#include <algorithm>
#include <bit>

namespace holdfast::core {
namespace {

using shm::ControllerFault;
using shm::Counter;

// A drive says by its heartbeats that it is enabled; the first ones may be lost.
constexpr std::int64_t kDriveReadyNs = 1'000'000'000;
constexpr std::int64_t kDriveReadyHeartbeats = 10;
constexpr std::int64_t kMeasuredStandstillNs = 2'000'000'000;
// An error that stands this long after it was cleared this often is no passing one.
constexpr std::uint32_t kClearings = 5;
constexpr std::int64_t kClearedNs = 1'000'000'000;

template <typename Enum>
constexpr std::uint32_t bit(Enum value) {
    return static_cast<std::uint32_t>(value);
}

bool asked(const Observation& seen, Request request) { return (seen.requests & bit(request)) != 0; }

std::int64_t drive_ready_ns(const RobotConfig& config) {
    std::int64_t longest_ns = 0;
    for (const Drive& drive : config.drives) longest_ns = std::max(longest_ns, drive.heartbeat_ns);
    return std::max(kDriveReadyNs, kDriveReadyHeartbeats * longest_ns);
}

std::optional<StopReason> reason_of(ControllerFault fault) {
    switch (fault) {
        case ControllerFault::kTrap:
            return StopReason::kControllerTrap;
        case ControllerFault::kOverrun:
            return StopReason::kControllerOverrun;
        case ControllerFault::kNotFinite:
            return StopReason::kControllerNotFinite;
        case ControllerFault::kEstopRequest:
            return StopReason::kControllerEstopRequest;
        case ControllerFault::kNone:
            break;
    }
    return std::nullopt;
}

}  // namespace

void Execution::decide(const Observation& seen, const Setpoint& setpoint) {
    just_armed_ = stop_just_seen_ = stop_just_cleared_ = false;
    follow_latch(seen);
    watch_clearing(seen);
    if (incurable_drive_ >= 0 && state_ != ExecutionState::kFault && raise(ExecutionEvent::kFault))
        note(EventKind::kFault, 0, seen.now_ns, incurable_drive_);
    if (shm::is_armed(state_)) {
        if (const auto cause = stop_cause(seen, setpoint)) begin_stop(*cause, seen.now_ns);
    }
    answer_requests(seen, setpoint);
    release_or_hold(seen, setpoint);
}

// False: the table does not allow it.
bool Execution::raise(ExecutionEvent event) {
    const auto next = next_state(state_, event);
    if (next) state_ = *next;
    return next.has_value();
}

void Execution::follow_latch(const Observation& seen) {
    if (seen.latch != 0) {
        raise(ExecutionEvent::kEstop);
        stop_just_seen_ = seen_latch_ != seen.latch;
        if (stop_just_seen_) note(EventKind::kEstopSeen, seen.latch, seen.now_ns);
    } else if (state_ == ExecutionState::kEstop) {
        raise(ExecutionEvent::kEstopCleared);
        still_since_ns_ = seen.now_ns;
        stop_just_cleared_ = true;
        note(EventKind::kEstopCleared, 0, seen.now_ns);
    }
    seen_latch_ = seen.latch;
}

// Counts how often the error of each drive was cleared in vain, at most once in the time that a drive needs
// to tell.
void Execution::watch_clearing(const Observation& seen) {
    const bool waited = seen.now_ns - cleared_at_ns_ > kClearedNs;
    const bool clearing = waited && asked(seen, Request::kClearErrors);
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        if ((seen.drive_errors >> d & 1u) == 0) {
            clearings_[d] = 0;
        } else if (clearings_[d] >= kClearings && waited) {
            incurable_drive_ = static_cast<std::int32_t>(d);
        } else if (clearing) {
            ++clearings_[d];
        }
    }
    if (clearing) cleared_at_ns_ = seen.now_ns;
}

void Execution::begin_stop(Cause cause, std::int64_t now_ns) {
    raise(ExecutionEvent::kStop);
    still_since_ns_ = now_ns;
    note(EventKind::kStopBegun, bit(cause.reason), now_ns, cause.drive);
}

void Execution::settle(std::int64_t now_ns, bool still, bool measured_moving) {
    if (still && !still_) still_since_ns_ = now_ns;
    still_ = still;
    if (state_ != ExecutionState::kStopping || !still) return;
    if (measured_moving && now_ns - still_since_ns_ < kMeasuredStandstillNs) return;
    raise(ExecutionEvent::kStandstill);
    note(EventKind::kStandstill, 0, now_ns);
}

std::optional<Execution::Cause> Execution::stop_cause(const Observation& seen,
                                                      const Setpoint& setpoint) const {
    if (asked(seen, Request::kDisarm)) return Cause{StopReason::kOperator};
    if (seen.safety_silent) return Cause{StopReason::kSafetySilent};
    if (const auto reason = reason_of(setpoint.fault)) return Cause{*reason};
    if (setpoint.state == shm::ControllerState::kNone) return Cause{StopReason::kNoController};
    if (seen.too_many_overruns) return Cause{StopReason::kOverruns};
    return drive_cause(seen);
}

std::optional<Execution::Cause> Execution::drive_cause(const Observation& seen) const {
    const bool overdue = drives_were_ready_ || seen.now_ns - armed_at_ns_ > drive_ready_ns(config_);
    const std::uint32_t missing = overdue ? all_drives_ & ~seen.drives_enabled : 0;
    const std::uint32_t failed = seen.drive_errors | seen.drives_silent | missing;
    if (failed == 0) return std::nullopt;
    const int drive = std::countr_zero(failed);
    if ((seen.drive_errors >> drive & 1u) != 0) return Cause{StopReason::kDriveError, drive};
    if ((seen.drives_silent >> drive & 1u) != 0) return Cause{StopReason::kDriveSilent, drive};
    return Cause{StopReason::kDriveNotReady, drive};
}

std::uint32_t Execution::blockers(const Observation& seen, const Setpoint& setpoint) const {
    std::uint32_t found = 0;
    const auto add_if = [&found](bool blocked, Blocker blocker) { found |= blocked ? bit(blocker) : 0; };
    const bool latched = seen.latch != 0;
    const bool paused = state_ == ExecutionState::kPaused;
    add_if(latched, Blocker::kLatched);
    add_if(seen.safety_silent, Blocker::kSafetySilent);
    add_if(!latched && !seen.safety_silent && !seen.arm_permitted, Blocker::kNotPermitted);
    add_if(setpoint.state == shm::ControllerState::kNone, Blocker::kNoController);
    add_if(setpoint.fault != ControllerFault::kNone, Blocker::kControllerFaulted);
    add_if(seen.realtime_refused, Blocker::kRealtime);
    add_if(seen.drive_errors != 0, Blocker::kDriveError);
    add_if(seen.drives_silent != 0, Blocker::kDriveSilent);
    add_if(seen.stale_states != 0, Blocker::kStateStale);
    add_if(seen.untrusted_joints != 0, Blocker::kEstimate);
    add_if(paused, Blocker::kPaused);
    add_if((shm::is_armed(state_) && !paused) || state_ == ExecutionState::kStopping, Blocker::kBusy);
    add_if(state_ == ExecutionState::kFault, Blocker::kFault);
    return found;
}

// After the stop causes: asked to go on and to stop in one cycle, the robot stops. A pause wins over a
// resume.
void Execution::answer_requests(const Observation& seen, const Setpoint& setpoint) {
    if (asked(seen, Request::kDisarm)) raise(ExecutionEvent::kStop);
    if (asked(seen, Request::kArm)) answer_arm(seen, setpoint);
    if (asked(seen, Request::kResume)) {
        if (state_ == ExecutionState::kPaused) armed_at_ns_ = seen.now_ns;
        answer(ExecutionEvent::kResume);
    }
    if (asked(seen, Request::kPause)) answer(ExecutionEvent::kPause);
    if (asked(seen, Request::kClearFault)) clear_fault(seen.now_ns);
}

// Whatever moved when the fault was found must stand before the robot is disarmed.
void Execution::clear_fault(std::int64_t now_ns) {
    if (state_ == ExecutionState::kFault) {
        clearings_.fill(0);
        incurable_drive_ = -1;
        still_since_ns_ = now_ns;
    }
    answer(ExecutionEvent::kFaultCleared);
}

void Execution::answer_arm(const Observation& seen, const Setpoint& setpoint) {
    const bool stopped = asked(seen, Request::kDisarm);
    const std::uint32_t found = blockers(seen, setpoint) | (stopped ? bit(Blocker::kBusy) : 0);
    just_armed_ = found == 0 && raise(ExecutionEvent::kArm);
    if (just_armed_) {
        armed_at_ns_ = seen.now_ns;
        drives_were_ready_ = false;
        note(EventKind::kArmed, 0, seen.now_ns);
    } else {
        exchange_.counters.add(Counter::kTransitionsRefused);
    }
    exchange_.arm_answer.store(++arm_answers_ << 32 | found, std::memory_order_release);
}

void Execution::answer(ExecutionEvent event) {
    const ExecutionState before = state_;
    const bool done = raise(event);
    if (!done) exchange_.counters.add(Counter::kTransitionsRefused);
    exchange_.answer.store(++answers_ << 32 | bit(before) << 8 | (done ? 1u : 0u), std::memory_order_release);
    if (done && before != state_) exchange_.tier1_events.push({EventKind::kStateChanged, -1, bit(state_), 0});
}

// The controller moves the robot only when every drive has said that it is in closed loop: one that joined
// late would jump to a setpoint that had walked away.
void Execution::release_or_hold(const Observation& seen, const Setpoint& setpoint) {
    if (state_ == ExecutionState::kArmed && !just_armed_ && seen.drives_enabled == all_drives_) {
        raise(ExecutionEvent::kReady);
        drives_were_ready_ = true;
        released_at_ns_ = seen.now_ns;
    }
    if (!calls_controller(state_)) return;
    const bool stale = setpoint_stale(seen.now_ns, setpoint);
    if (stale) exchange_.counters.add(Counter::kSetpointStale);
    // After an overrun: the wish was meant for a moment that it has swallowed.
    const bool hold = stale || seen.overrun;
    if (hold != (state_ == ExecutionState::kHolding))
        raise(hold ? ExecutionEvent::kHold : ExecutionEvent::kFollow);
}

// Rule 6. A robot that was just released waits for its first setpoint as long as for any other.
bool Execution::setpoint_stale(std::int64_t now_ns, const Setpoint& setpoint) const {
    const std::int64_t reference_ns = std::max(setpoint.mono_ns, released_at_ns_);
    return now_ns - reference_ns > config_.controller_period_ns() * 5 / 2;
}

void Execution::note(EventKind kind, std::uint64_t detail, std::int64_t now_ns, std::int32_t index) {
    exchange_.tier1_events.push({kind, index, detail, now_ns});
}

}  // namespace holdfast::core
