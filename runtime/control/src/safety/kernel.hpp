// The decision of the safety daemon, and nothing else: no allocation, I/O or clock. The daemon and the tests
// compile this same object. Hazard: a stop that is not taken, or one that is forgotten.
//
// step() runs once in each of the daemon's own periods. Silence is counted in those periods, so a machine
// that stood still is not mistaken for a dead core: a late wake adds one period, however late it was.
#pragma once

#include <cstdint>

#include "shm/layout.hpp"

namespace holdfast::safety {

using shm::StopCause;

struct KernelConfig {
    std::int64_t period_ns;
    std::int64_t core_timeout_ns;
    std::int64_t worker_timeout_ns;
    bool worker_required;
    bool realtime_missing;  // [control] realtime = "require" and this daemon did not get it: nothing may arm
};

// What the daemon saw in this period.
struct Inputs {
    std::int64_t now_ns;
    bool core_attached;  // a core has attached and not detached in good order
    bool core_beat;      // its heartbeat has changed since the last period
    bool core_lost;      // its connection ended without a detach since the last period
    bool core_armed;     // by its last sample, it moves the robot: armed or stopping
    bool worker_attached;
    bool worker_beat;
    bool worker_lost;
    shm::ControllerFault controller_fault;  // of the controller that is loaded now
    bool record_unreadable;                 // the latch file was damaged and is not yet written anew
    bool operator_stop;                     // a request since the last period
    bool reset;                             // an explicit local reset since the last period
};

// What is known of one peer (core or worker). Silence counts from its first heartbeat on: before that nothing
// may arm, so nothing can move.
struct PeerState {
    bool attached;           // in the period before
    bool beaten;             // a heartbeat since it attached
    bool fresh;              // a heartbeat since it attached and since the last reset: arming needs one
    std::int64_t silent_ns;  // while this daemon itself ran
};

// All memory of the kernel. `latch_sequence`, `last_sequence` and `cause` are what the latch file holds.
struct State {
    std::uint64_t latch_sequence;  // 0: not latched
    std::uint64_t last_sequence;   // of the last stop ever; the next gets one more
    StopCause cause;
    std::int64_t latch_ns;
    PeerState core;
    PeerState worker;
    bool core_was_armed;  // in the period before
};

struct Outputs {
    std::uint64_t latch_sequence;
    StopCause cause;
    StopCause standing;  // a cause that is present now (kNone: a reset would be granted)
    bool newly_latched;
    bool reset_granted;
    bool reset_refused;
    bool arm_permitted;
};

[[nodiscard]] Outputs step(const KernelConfig& config, State& state, const Inputs& inputs) noexcept;

}  // namespace holdfast::safety
