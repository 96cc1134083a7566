// What a controller is shown while it is verified: one row of state values for each tick, the
// inputs behind the states.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "robot/config.hpp"

namespace holdfast::verify {

// Recorded states, one row a tick, one value a state channel; NaN where a sample was stale.
using Trace = std::vector<std::vector<double>>;

struct StateSet {
    std::string name;    // "zero", "limits.min", "limits.max", "random", "trace"
    std::int64_t ticks;  // how many rows there are to show
    std::function<void(std::int64_t tick, std::span<double> state)>
        fill;  // to be called in the order of the ticks
};

// All zero, all at their minimum, all at their maximum, random within the limits (the same for the same
// seed), with inputs that are too old if the robot has inputs, and the last rows of the trace if it has any.
// A trace has no inputs: they are too old in it.
[[nodiscard]] std::vector<StateSet> state_sets(const RobotConfig& config, std::int64_t ticks,
                                               std::uint64_t seed, Trace trace);

// Reads {"states": [[...], ...]}; null is a stale sample. Every row has one value for each state channel.
[[nodiscard]] Expected<Trace> read_trace(const std::filesystem::path& file, const RobotConfig& config);

}  // namespace holdfast::verify
