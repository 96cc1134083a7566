#include "safety/kernel.hpp"

#include <algorithm>
#include <numeric>

namespace holdfast::safety {
namespace {

struct PeerInputs {
    bool attached;
    bool beat;
    bool lost;
};

// Hazard: a dead peer that looks alive. A beat of a peer that is not attached is nobody's.
void observe(PeerState& peer, const PeerInputs& seen, std::int64_t period_ns,
             std::int64_t timeout_ns) noexcept {
    if (!seen.attached) {
        peer = PeerState{};
        return;
    }
    peer.attached = true;
    if (seen.beat) {
        peer.beaten = true;
        peer.fresh = true;
        peer.silent_ns = 0;
    } else if (peer.beaten) {
        peer.silent_ns = std::min(peer.silent_ns + period_ns, timeout_ns);
    }
    // Its process is gone: the beat above was its last, and there is nothing to wait for.
    if (seen.lost) peer.silent_ns = timeout_ns;
}

// Hazard: the one who watches the drives leaves while they move. Good order is for a robot at rest.
bool left_while_armed(bool was_attached, bool attached, bool armed) noexcept {
    return was_attached && !attached && armed;
}

StopCause cause_of(shm::ControllerFault fault) noexcept {
    switch (fault) {
        case shm::ControllerFault::kNotFinite:
            return StopCause::kControllerNotFinite;
        case shm::ControllerFault::kEstopRequest:
            return StopCause::kControllerRequest;
        case shm::ControllerFault::kNone:
        case shm::ControllerFault::kTrap:     // a controlled stop, the core's own
        case shm::ControllerFault::kOverrun:  // likewise
            break;
    }
    return StopCause::kNone;
}

// Hazard: a welded or bridged contact, which is found only while the other one is open. Either contact stops
// by itself; one that does not follow the other in time is broken, until both have been seen to open.
StopCause judge_estop(const KernelConfig& config, EstopState& state, const EstopReading& seen) noexcept {
    if (!config.estop_lines) return StopCause::kNone;
    if (!seen.readable) return StopCause::kEstopLineUnreadable;
    const bool differ = seen.open[0] != seen.open[1];
    state.differ_ns = differ ? std::min(state.differ_ns + config.period_ns, config.estop_discrepancy_ns) : 0;
    if (state.differ_ns >= config.estop_discrepancy_ns) state.fault = true;
    if (seen.open[0] && seen.open[1]) state.fault = false;
    if (state.fault) return StopCause::kEstopDiscrepancy;
    return seen.open[0] || seen.open[1] ? StopCause::kEstopLine : StopCause::kNone;
}

// A drive that reports an error while it may move is out of control. One whose power the enable line has cut
// may report that as an error; what it says is judged again when it has power.
bool judge_drives(const KernelConfig& config, bool& faulted, bool drive_fault, bool armed) noexcept {
    const bool believed = armed || (faulted && !config.enable_line);
    faulted = drive_fault && believed;
    return faulted;
}

void count_overruns(const KernelConfig& config, OverrunState& state, std::uint32_t overruns) noexcept {
    state.elapsed_ns += config.period_ns;
    if (state.elapsed_ns >= config.overrun_window_ns / static_cast<std::int64_t>(kOverrunBuckets)) {
        state.elapsed_ns = 0;
        state.newest = (state.newest + 1) % kOverrunBuckets;
        state.counts[state.newest] = 0;
    }
    std::uint32_t& count = state.counts[state.newest];
    count = std::min(count + std::min(overruns, config.overrun_limit), config.overrun_limit);
}

// The core's own ladder ends in a controlled stop. If it overruns on while it moves the robot, that failed.
bool judge_overruns(const KernelConfig& config, OverrunState& state, std::uint32_t overruns,
                    bool armed) noexcept {
    count_overruns(config, state, overruns);
    const std::uint64_t sum = std::accumulate(state.counts.begin(), state.counts.end(), std::uint64_t{0});
    state.tripped = sum >= config.overrun_limit && (armed || state.tripped);
    return state.tripped;
}

struct Finding {
    bool high;
    bool unreadable;
};

// Hazard: a sensor that has died looks cool. What was known once, or must be known, may not become unknown.
Finding judge(const Limit& limit, LimitState& state, const Reading& reading, bool stale) noexcept {
    if (stale || !reading.known) return {state.high, limit.required || state.seen};
    state.seen = true;
    state.high = reading.value >= (state.high ? limit.clear : limit.limit);
    return {state.high, false};
}

// The causes that are present: the first one that demands a stop, and those that are only warned of.
class Causes {
  public:
    void add(StopCause cause, bool present, Reaction reaction = Reaction::kStop) noexcept {
        if (!present) return;
        if (reaction == Reaction::kWarn) warnings_ |= 1u << static_cast<std::uint32_t>(cause);
        if (reaction == Reaction::kStop && first_ == StopCause::kNone) first_ = cause;
    }
    [[nodiscard]] StopCause first() const noexcept { return first_; }
    [[nodiscard]] std::uint32_t warnings() const noexcept { return warnings_; }

  private:
    StopCause first_{StopCause::kNone};
    std::uint32_t warnings_{0};
};

void judge_health(const KernelConfig& config, HealthState& state, const HealthReading& seen,
                  Causes& causes) noexcept {
    state.age_ns = seen.is_new ? 0 : std::min(state.age_ns + config.period_ns, config.health_max_age_ns);
    const bool stale = state.age_ns >= config.health_max_age_ns;
    const Finding heat = judge(config.temperature, state.temperature, seen.temperature, stale);
    const Finding memory = judge(config.memory_pressure, state.memory_pressure, seen.memory_pressure, stale);
    causes.add(StopCause::kTemperature, heat.high, config.temperature.reaction);
    causes.add(StopCause::kMemoryPressure, memory.high, config.memory_pressure.reaction);
    causes.add(StopCause::kHealthUnreadable, heat.unreadable, config.temperature.reaction);
    causes.add(StopCause::kHealthUnreadable, memory.unreadable, config.memory_pressure.reaction);
}

// Takes every input of the period into the state. The order is that of the causes' names in a report: what
// tells a person most comes first.
Causes judge_all(const KernelConfig& config, State& state, const Inputs& inputs) noexcept {
    const bool core_was_attached = state.core.attached;
    const bool worker_was_attached = state.worker.attached;
    const bool armed = state.core_was_armed || inputs.core_armed;
    observe(state.core, {inputs.core_attached, inputs.core_beat, inputs.core_lost}, config.period_ns,
            config.core_timeout_ns);
    observe(state.worker, {inputs.worker_attached, inputs.worker_beat, inputs.worker_lost}, config.period_ns,
            config.worker_timeout_ns);
    state.core_was_armed = inputs.core_attached && inputs.core_armed;

    const bool core_gone = left_while_armed(core_was_attached, inputs.core_attached, armed) ||
                           state.core.silent_ns >= config.core_timeout_ns;
    const bool worker_gone = left_while_armed(worker_was_attached, inputs.worker_attached, armed) ||
                             state.worker.silent_ns >= config.worker_timeout_ns;
    const StopCause lines = judge_estop(config, state.estop, inputs.estop);
    const StopCause fault = cause_of(inputs.controller_fault);

    Causes causes;
    causes.add(StopCause::kStateRecordUnreadable, inputs.record_unreadable || inputs.lost_stop != 0);
    causes.add(lines, lines != StopCause::kNone);
    causes.add(StopCause::kOperator, inputs.operator_stop);
    causes.add(StopCause::kCoreLost, core_gone);
    causes.add(fault, fault != StopCause::kNone);
    causes.add(StopCause::kWorkerLost, config.worker_required && worker_gone);
    causes.add(StopCause::kEnableLineFailed, config.enable_line && inputs.enable_line_failed);
    causes.add(StopCause::kDriveFault, judge_drives(config, state.drive_faulted, inputs.drive_fault, armed),
               config.drive_faults);
    causes.add(StopCause::kCoreOverruns, judge_overruns(config, state.overruns, inputs.core_overruns, armed),
               config.core_overruns);
    judge_health(config, state.health, inputs.health, causes);
    return causes;
}

// True if this is a new stop. A broken contact that is found under a stop, whatever began that, takes the
// place of its cause: the record is all that a restart has, and must not forget that fault.
bool latch(State& state, StopCause standing, std::int64_t now_ns) noexcept {
    if (standing == StopCause::kNone) return false;
    if (state.latch_sequence != 0) {
        if (standing == StopCause::kEstopDiscrepancy) state.cause = standing;
        return false;
    }
    state.latch_sequence = ++state.last_sequence;
    state.cause = standing;
    state.latch_ns = now_ns;
    return true;
}

void clear_latch(State& state) noexcept {
    state.latch_sequence = 0;
    state.cause = StopCause::kNone;
    state.latch_ns = 0;
    // What was heard before the reset proves nothing about what is there after it.
    state.core.fresh = false;
    state.worker.fresh = false;
}

// Hazard: drives with power under a stop. The delay is for robots whose risk assessment wants them slowed
// down first (stop category 1); it begins with the stop and nothing prolongs it.
bool hold_enable(const KernelConfig& config, EnableState& enable, bool permitted, bool latched) noexcept {
    if (permitted) {
        enable = {true, config.enable_drop_delay_ns};
        return true;
    }
    enable.on = enable.on && latched && enable.left_ns > 0;
    enable.left_ns -= config.period_ns;
    return enable.on;
}

}  // namespace

Outputs step(const KernelConfig& config, State& state, const Inputs& inputs) noexcept {
    const Causes causes = judge_all(config, state, inputs);
    state.last_sequence = std::max(state.last_sequence, inputs.lost_stop);
    Outputs outputs{};
    outputs.standing = causes.first();
    outputs.warnings = causes.warnings();
    outputs.newly_latched = latch(state, outputs.standing, inputs.now_ns);
    const bool present = outputs.standing != StopCause::kNone;
    // Hazard: a core that stood still when the stop came would go on as if it had never been.
    const bool unheeded = state.latch_sequence != 0 && state.core_was_armed;
    outputs.reset_refused = inputs.reset && (present || unheeded);
    outputs.reset_granted = inputs.reset && !outputs.reset_refused;
    if (outputs.reset_granted && state.latch_sequence != 0) clear_latch(state);
    outputs.latch_sequence = state.latch_sequence;
    outputs.cause = state.cause;
    const bool heard = state.core.fresh && (state.worker.fresh || !config.worker_required);
    const bool equipped = !config.realtime_missing && !config.watchdog_missing;
    // Hazard: a stop that could not be written is forgotten by the next restart. So nothing moves before the
    // file was written once, nor while it cannot be.
    outputs.arm_permitted = state.latch_sequence == 0 && heard && equipped && !inputs.record_behind;
    outputs.enable = hold_enable(config, state.enable, outputs.arm_permitted, state.latch_sequence != 0);
    return outputs;
}

}  // namespace holdfast::safety
