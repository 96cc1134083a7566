// The execution state machine: one table says which event leads from which state to which. Pure: no clock, no
// I/O. Who raises the events, and under which conditions, is in execution.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shm/layout.hpp"

namespace holdfast::core {

using ExecutionState = shm::Mode;

inline constexpr std::array kExecutionStates{
    ExecutionState::kDisarmed, ExecutionState::kArmed,    ExecutionState::kRunning, ExecutionState::kPaused,
    ExecutionState::kHolding,  ExecutionState::kStopping, ExecutionState::kEstop,   ExecutionState::kFault};

enum class ExecutionEvent : std::uint8_t {
    kArm,           // somebody asks for it, and nothing stands against it
    kReady,         // every drive says that it is in closed loop
    kHold,          // the setpoint is too old, or the cycle before took too long
    kFollow,        // neither of the two any more
    kPause,         // somebody asks for it
    kResume,        // somebody asks for it
    kStop,          // somebody asks for it, or a stop cause (execution.cpp)
    kStandstill,    // nothing that is sent moves, nor anything that is measured
    kEstop,         // the safety daemon latched a stop
    kEstopCleared,  // it was reset
    kFault,         // something that the core cannot mend
    kFaultCleared,  // somebody asks for it
};

inline constexpr std::array kExecutionEvents{
    ExecutionEvent::kArm,          ExecutionEvent::kReady,      ExecutionEvent::kHold,
    ExecutionEvent::kFollow,       ExecutionEvent::kPause,      ExecutionEvent::kResume,
    ExecutionEvent::kStop,         ExecutionEvent::kStandstill, ExecutionEvent::kEstop,
    ExecutionEvent::kEstopCleared, ExecutionEvent::kFault,      ExecutionEvent::kFaultCleared};

struct Transition {
    ExecutionState from;
    ExecutionEvent event;
    ExecutionState to;  // the same as `from`: allowed, and nothing changes
};

// Everything that is not in here is refused.
inline constexpr auto kTransitions = [] {
    using enum shm::Mode;  // clang 14 does not find them by the alias
    using On = ExecutionEvent;
    return std::array{
        Transition{kDisarmed, On::kArm, kArmed},
        Transition{kArmed, On::kReady, kRunning},
        Transition{kRunning, On::kHold, kHolding},
        Transition{kHolding, On::kFollow, kRunning},

        // The drives were enabled before a pause and may have left closed loop in it: resume goes by kArmed.
        Transition{kArmed, On::kPause, kPaused},
        Transition{kRunning, On::kPause, kPaused},
        Transition{kHolding, On::kPause, kPaused},
        Transition{kPaused, On::kPause, kPaused},
        Transition{kPaused, On::kResume, kArmed},

        // A stop may be asked for at any time.
        Transition{kArmed, On::kStop, kStopping},
        Transition{kRunning, On::kStop, kStopping},
        Transition{kPaused, On::kStop, kStopping},
        Transition{kHolding, On::kStop, kStopping},
        Transition{kDisarmed, On::kStop, kDisarmed},
        Transition{kStopping, On::kStop, kStopping},
        Transition{kEstop, On::kStop, kEstop},
        Transition{kFault, On::kStop, kFault},
        Transition{kStopping, On::kStandstill, kDisarmed},

        // Rule 3: from every state, and back by way of a standstill to kDisarmed only.
        Transition{kDisarmed, On::kEstop, kEstop},
        Transition{kArmed, On::kEstop, kEstop},
        Transition{kRunning, On::kEstop, kEstop},
        Transition{kPaused, On::kEstop, kEstop},
        Transition{kHolding, On::kEstop, kEstop},
        Transition{kStopping, On::kEstop, kEstop},
        Transition{kEstop, On::kEstop, kEstop},
        Transition{kFault, On::kEstop, kEstop},
        Transition{kEstop, On::kEstopCleared, kStopping},

        // A fault that is found in kEstop is raised when that is over: the latch stands above it.
        Transition{kDisarmed, On::kFault, kFault},
        Transition{kArmed, On::kFault, kFault},
        Transition{kRunning, On::kFault, kFault},
        Transition{kPaused, On::kFault, kFault},
        Transition{kHolding, On::kFault, kFault},
        Transition{kStopping, On::kFault, kFault},
        Transition{kFault, On::kFaultCleared, kStopping},
    };
}();

// Nothing: the event is not allowed in that state. Any thread.
[[nodiscard]] constexpr std::optional<ExecutionState> next_state(ExecutionState state, ExecutionEvent event) {
    for (const Transition& row : kTransitions) {
        if (row.from == state && row.event == event) return row.to;
    }
    return std::nullopt;
}

// The controller is called: its setpoint is followed, or will be when what holds the robot is over.
[[nodiscard]] constexpr bool calls_controller(ExecutionState state) {
    return state == ExecutionState::kRunning || state == ExecutionState::kHolding;
}

namespace execution_checks {
[[nodiscard]] constexpr bool unambiguous() {
    for (std::size_t i = 0; i < kTransitions.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (kTransitions[i].from == kTransitions[j].from &&
                kTransitions[i].event == kTransitions[j].event)
                return false;
        }
    }
    return true;
}
[[nodiscard]] constexpr bool estop_from_everywhere() {
    return std::all_of(kExecutionStates.begin(), kExecutionStates.end(), [](ExecutionState state) {
        return next_state(state, ExecutionEvent::kEstop) == ExecutionState::kEstop;
    });
}
// Motion begins behind an `arm` and nowhere else (rule 3).
[[nodiscard]] constexpr bool only_arm_arms() {
    return std::all_of(kTransitions.begin(), kTransitions.end(), [](const Transition& row) {
        return !shm::is_armed(row.to) || shm::is_armed(row.from) || row.event == ExecutionEvent::kArm;
    });
}
static_assert(unambiguous());
static_assert(estop_from_everywhere());
static_assert(only_arm_arms());
}  // namespace execution_checks

// For people; not real-time.
[[nodiscard]] std::string_view name_of(ExecutionEvent event);
[[nodiscard]] std::string_view meaning_of(ExecutionEvent event);
[[nodiscard]] std::string_view meaning_of(ExecutionState state);
// Why the event is refused in that state, and what to do instead.
[[nodiscard]] std::string refusal(ExecutionState state, ExecutionEvent event);
// The figure and the tables of docs/architecture.md, made from the table above.
[[nodiscard]] std::string describe_states();

}  // namespace holdfast::core
