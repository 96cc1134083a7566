// The decision of the safety daemon, and nothing else: no allocation, I/O or clock. The daemon and the tests compile
// this same object. Hazard: a stop that is not taken, or one that is forgotten.
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
};

// What the daemon saw in this period.
struct Inputs {
    std::int64_t now_ns;
    bool core_attached;     // a core has attached and not detached in good order
    bool core_beat;         // its heartbeat has changed since the last period
    bool worker_attached;
    bool worker_beat;
    shm::ControllerFault controller_fault;  // of the controller that is loaded now
    bool operator_stop;     // a request since the last period
    bool reset;             // an explicit local reset since the last period
};

// All memory of the kernel. `latch_sequence` and `cause` are what the latch file holds.
struct State {
    std::uint64_t latch_sequence;  // 0: not latched
    std::uint64_t last_sequence;   // of the last stop ever; the next gets one more
    StopCause cause;
    std::int64_t latch_ns;
    std::int64_t core_silent_ns;   // silence while this daemon itself ran on time
    std::int64_t worker_silent_ns;
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

[[nodiscard]] Outputs step(const KernelConfig& config, State& state, const Inputs& inputs);

}  // namespace holdfast::safety
