#include "safety/kernel.hpp"

#include <algorithm>

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
bool left_while_armed(bool was_attached, bool attached, bool armed) {
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

}  // namespace

Outputs step(const KernelConfig& config, State& state, const Inputs& inputs) noexcept {
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

    Outputs outputs{};
    if (inputs.record_unreadable) {
        outputs.standing = StopCause::kStateRecordUnreadable;
    } else if (inputs.operator_stop) {
        outputs.standing = StopCause::kOperator;
    } else if (core_gone) {
        outputs.standing = StopCause::kCoreLost;
    } else if (const StopCause fault = cause_of(inputs.controller_fault); fault != StopCause::kNone) {
        outputs.standing = fault;
    } else if (config.worker_required && worker_gone) {
        outputs.standing = StopCause::kWorkerLost;
    }

    const bool present = outputs.standing != StopCause::kNone;
    if (present && state.latch_sequence == 0) {
        state.latch_sequence = ++state.last_sequence;
        state.cause = outputs.standing;
        state.latch_ns = inputs.now_ns;
        outputs.newly_latched = true;
    }
    outputs.reset_refused = inputs.reset && present;
    outputs.reset_granted = inputs.reset && !present;
    if (outputs.reset_granted) {
        state.latch_sequence = 0;
        state.cause = StopCause::kNone;
        state.latch_ns = 0;
        // What was heard before the reset proves nothing about what is there after it.
        state.core.fresh = false;
        state.worker.fresh = false;
    }
    outputs.latch_sequence = state.latch_sequence;
    outputs.cause = state.cause;
    outputs.arm_permitted = state.latch_sequence == 0 && state.core.fresh &&
                            (state.worker.fresh || !config.worker_required) && !config.realtime_missing;
    return outputs;
}

}  // namespace holdfast::safety
