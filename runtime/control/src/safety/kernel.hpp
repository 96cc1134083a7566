// The decision of the safety daemon, and nothing else: no allocation, I/O or clock. The daemon and the tests
// compile this same object. Hazard: a stop that is not taken, or one that is forgotten.
//
// step() runs once in each of the daemon's own periods. Silence is counted in those periods, so a machine
// that stood still is not mistaken for a dead core: a late wake adds one period, however late it was.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "shm/layout.hpp"

namespace holdfast::safety {

using shm::StopCause;

inline constexpr std::size_t kEstopChannels = 2;
// Temperature in thousandths of a degree Celsius, memory pressure in hundredths of a percent.
inline constexpr std::size_t kOverrunBuckets = 8;

// A measured value that must stay below `limit`; once there, it stands until it is below `clear`.
struct Limit {
    Reaction reaction{Reaction::kOff};
    std::int32_t limit{0};
    std::int32_t clear{0};
    bool required{false};  // false: it may be unknown as long as it was never known
};

struct KernelConfig {
    std::int64_t period_ns{};
    std::int64_t core_timeout_ns{};
    std::int64_t worker_timeout_ns{};
    bool worker_required{};
    bool
        realtime_missing{};  // [control] realtime = "require" and this daemon did not get it: nothing may arm
    bool watchdog_missing{false};  // the hardware watchdog that is configured cannot be fed: likewise
    bool estop_lines{false};
    std::int64_t estop_discrepancy_ns{0};
    bool enable_line{false};
    std::int64_t enable_drop_delay_ns{0};  // 0: stop category 0
    Reaction drive_faults{Reaction::kOff};
    Reaction core_overruns{Reaction::kOff};
    std::uint32_t overrun_limit{1};                 // this many ...
    std::int64_t overrun_window_ns{1'000'000'000};  // ... within this time
    Limit temperature{};
    Limit memory_pressure{};
    std::int64_t health_max_age_ns{0};
};

// What the two contacts of the e-stop show. A contact that opened for a moment only was open.
struct EstopReading {
    bool readable{true};
    std::array<bool, kEstopChannels> open{};
};

struct Reading {
    bool known{false};
    std::int32_t value{0};
};

// The latest sample of what is read outside the loop.
struct HealthReading {
    bool is_new{false};  // taken since the last period
    Reading temperature{};
    Reading memory_pressure{};
};

// What the daemon saw in this period.
struct Inputs {
    std::int64_t now_ns{};
    bool core_attached{};  // a core has attached and not detached in good order
    bool core_beat{};      // its heartbeat has changed since the last period
    bool core_lost{};      // its connection ended without a detach since the last period
    bool core_armed{};     // by its last sample, it moves the robot: armed or stopping
    bool worker_attached{};
    bool worker_beat{};
    bool worker_lost{};
    shm::ControllerFault controller_fault{};  // of the controller that is loaded now
    bool record_unreadable{};                 // the latch file was damaged and is not yet written anew
    bool record_behind{};                     // that file does not say (yet) what the latch says
    std::uint64_t
        lost_stop{};       // of a core that attached under a stop of which that file knew nothing; 0: none
    bool operator_stop{};  // a request since the last period
    bool reset{};          // an explicit local reset since the last period
    EstopReading estop{};
    bool enable_line_failed{false};  // it was not to be had, or could not be set
    bool drive_fault{false};         // a drive reports an error
    std::uint32_t core_overruns{0};  // since the last period
    HealthReading health{};
};

// What is known of one peer (core or worker). Silence counts from its first heartbeat on: before that nothing
// may arm, so nothing can move.
struct PeerState {
    bool attached{};           // in the period before
    bool beaten{};             // a heartbeat since it attached
    bool fresh{};              // a heartbeat since it attached and since the last reset: arming needs one
    std::int64_t silent_ns{};  // while this daemon itself ran
};

struct EstopState {
    std::int64_t differ_ns{};  // how long the contacts have disagreed
    bool fault{};              // they did for too long, and have not both opened since
};

// Overruns of the core in the newest parts of the window.
struct OverrunState {
    std::array<std::uint32_t, kOverrunBuckets> counts{};
    std::size_t newest{};
    std::int64_t elapsed_ns{};  // in the newest part
    bool tripped{};
};

struct LimitState {
    bool seen{};  // known at least once
    bool high{};
};

struct HealthState {
    std::int64_t age_ns{};  // of the latest sample
    LimitState temperature{};
    LimitState memory_pressure{};
};

// Power to the drives.
struct EnableState {
    bool on{};
    std::int64_t left_ns{};  // until it is dropped after a stop
};

// All memory of the kernel. `latch_sequence`, `last_sequence` and `cause` are what the latch file holds.
struct State {
    std::uint64_t latch_sequence{};  // 0: not latched
    std::uint64_t last_sequence{};   // of the last stop ever; the next gets one more
    StopCause cause{};
    std::int64_t latch_ns{};
    PeerState core{};
    PeerState worker{};
    bool core_was_armed{};  // in the period before
    EstopState estop{};
    bool drive_faulted{false};
    OverrunState overruns{};
    HealthState health{};
    EnableState enable{};
};

struct Outputs {
    std::uint64_t latch_sequence{};
    StopCause cause{};
    StopCause standing{};  // a cause that is present now
    bool newly_latched{};
    bool reset_granted{};
    bool reset_refused{};
    bool arm_permitted{};
    bool enable{};             // level of the enable line
    std::uint32_t warnings{};  // bit n: StopCause n is present and only warned of
};

[[nodiscard]] Outputs step(const KernelConfig& config, State& state, const Inputs& inputs) noexcept;

}  // namespace holdfast::safety
