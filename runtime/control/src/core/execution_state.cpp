#include "core/execution_state.hpp"

#include <sstream>

#include "shm/names.hpp"

namespace holdfast::core {
namespace {

// From this many states on, an event is drawn once, from "any state": the table below the figure is exact.
constexpr std::ptrdiff_t kFromAnywhere = 5;

std::string_view mend(ExecutionState state, ExecutionEvent event) {
    switch (state) {
        case ExecutionState::kDisarmed:
            return "arm it first";
        case ExecutionState::kStopping:
            return "wait for its standstill";
        case ExecutionState::kEstop:
            return "reset the latched stop first";
        case ExecutionState::kFault:
            return "mend what the status names, then clear the fault or restart holdfast-control";
        case ExecutionState::kPaused:
            return event == ExecutionEvent::kArm ? "resume it or disarm it" : "resume it first";
        case ExecutionState::kArmed:
        case ExecutionState::kRunning:
        case ExecutionState::kHolding:
            break;
    }
    switch (event) {
        case ExecutionEvent::kArm:
            return "it is armed already";
        case ExecutionEvent::kResume:
            return "it is not paused";
        case ExecutionEvent::kFaultCleared:
            return "there is no fault";
        default:
            return "disarm it first";
    }
}

std::ptrdiff_t sources(ExecutionEvent event, ExecutionState to) {
    return std::count_if(kTransitions.begin(), kTransitions.end(), [=](const Transition& row) {
        return row.event == event && row.to == to && row.from != to;
    });
}

void draw(std::ostringstream& out) {
    out << "```mermaid\nstateDiagram-v2\n    state \"any state\" as any\n    [*] --> disarmed\n";
    for (const ExecutionEvent event : kExecutionEvents) {
        for (const ExecutionState to : kExecutionStates) {
            if (sources(event, to) >= kFromAnywhere)
                out << "    any --> " << shm::name_of(to) << " : " << name_of(event) << "\n";
        }
    }
    for (const Transition& row : kTransitions) {
        if (row.from == row.to || sources(row.event, row.to) >= kFromAnywhere) continue;
        out << "    " << shm::name_of(row.from) << " --> " << shm::name_of(row.to) << " : "
            << name_of(row.event) << "\n";
    }
    out << "```\n";
}

void list_meanings(std::ostringstream& out) {
    out << "| state | what it is |\n|---|---|\n";
    for (const ExecutionState state : kExecutionStates)
        out << "| `" << shm::name_of(state) << "` | " << meaning_of(state) << " |\n";
}

void list_transitions(std::ostringstream& out) {
    out << "| event |";
    for (const ExecutionState state : kExecutionStates) out << " " << shm::name_of(state) << " |";
    out << " raised when |\n|---|";
    for (std::size_t i = 0; i < kExecutionStates.size(); ++i) out << "---|";
    out << "---|\n";
    for (const ExecutionEvent event : kExecutionEvents) {
        out << "| `" << name_of(event) << "` |";
        for (const ExecutionState state : kExecutionStates) {
            const auto to = next_state(state, event);
            out << " " << (!to ? "" : *to == state ? "=" : shm::name_of(*to)) << (to ? " |" : "|");
        }
        out << " " << meaning_of(event) << " |\n";
    }
}

}  // namespace

std::string_view name_of(ExecutionEvent event) {
    static constexpr std::array<std::string_view, kExecutionEvents.size()> kNames{
        "arm",  "drives_ready", "hold",  "follow",        "pause", "resume",
        "stop", "standstill",   "estop", "estop_cleared", "fault", "clear_fault"};
    return kNames.at(static_cast<std::size_t>(event));
}

std::string_view meaning_of(ExecutionEvent event) {
    static constexpr std::array<std::string_view, kExecutionEvents.size()> kMeanings{
        "`arm`, with no reason against it",
        "every drive is in closed loop",
        "the setpoint is too old, or the cycle before took too long",
        "neither any more",
        "`pause`",
        "`resume`",
        "`disarm`, a failed or unloaded controller, a silent safety daemon, overruns, a drive's error",
        "nothing that is sent moves, nor anything measured (for at most 2 s)",
        "the stop flag of the safety daemon",
        "the flag is gone after a `reset`",
        "a drive keeps its error although it was cleared again and again",
        "`clear`"};
    return kMeanings.at(static_cast<std::size_t>(event));
}

std::string_view meaning_of(ExecutionState state) {
    switch (state) {
        case ExecutionState::kDisarmed:
            return "safe frames; nothing moves";
        case ExecutionState::kArmed:
            return "safe frames while the drives are being enabled";
        case ExecutionState::kRunning:
            return "the controller is called and its setpoint, filtered, is sent";
        case ExecutionState::kPaused:
            return "safe frames; the controller is not called and simulation time stands";
        case ExecutionState::kHolding:
            return "safe frames; the controller is called, but its setpoint is too old or the cycle comes "
                   "late";
        case ExecutionState::kStopping:
            return "a controlled stop is under way";
        case ExecutionState::kEstop:
            return "safe frames; a stop is latched";
        case ExecutionState::kFault:
            return "safe frames; the core refuses to work until a restart or a `clear`";
    }
    return "unknown";
}

std::string refusal(ExecutionState state, ExecutionEvent event) {
    return std::string(name_of(event)) + ": not possible while the robot is " +
           std::string(shm::name_of(state)) + "; " + std::string(mend(state, event));
}

std::string describe_states() {
    std::ostringstream out;
    draw(out);
    out << "\n";
    list_meanings(out);
    out << "\nWhere an event leads to; `=`: allowed, and nothing changes; empty: refused and counted "
           "(`transitions_refused`).\n\n";
    list_transitions(out);
    return out.str();
}

}  // namespace holdfast::core
