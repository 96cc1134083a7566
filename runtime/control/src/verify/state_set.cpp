#include "verify/state_set.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

namespace holdfast::verify {
namespace {

using nlohmann::json;

StateSet constant(std::string name, std::int64_t ticks, std::vector<double> row) {
    return {std::move(name), ticks, [row = std::move(row)](std::int64_t, std::span<double> state) {
                std::ranges::copy(row, state.begin());
            }};
}

// The engine's output is fixed by the standard, a distribution's is not: the same seed gives the same values
// anywhere.
double uniform(std::mt19937_64& random, const Range& range) {
    const double fraction = static_cast<double>(random() >> 11) * 0x1p-53;
    return range.min + (range.max - range.min) * fraction;
}

std::vector<Range> readable_limits(const RobotConfig& config) {
    std::vector<Range> limits;
    limits.reserve(config.readable_count());
    for (const StateChannel& channel : config.states) limits.push_back(channel.limits);
    for (const InputChannel& channel : config.inputs) limits.push_back(channel.limits);
    return limits;
}

StateSet random_set(const RobotConfig& config, std::int64_t ticks, std::uint64_t seed) {
    return {"random", ticks,
            [limits = readable_limits(config), seed, random = std::mt19937_64{seed}](
                std::int64_t tick, std::span<double> state) mutable {
                if (tick == 0) random.seed(seed);
                std::ranges::transform(limits, state.begin(),
                                       [&](const Range& range) { return uniform(random, range); });
            }};
}

// The operator is gone: a controller that hands NaN on is found here.
StateSet stale_inputs_set(const RobotConfig& config, std::int64_t ticks) {
    std::vector<double> row(config.states.size());
    row.resize(config.readable_count(), std::numeric_limits<double>::quiet_NaN());
    return constant("inputs.stale", ticks, std::move(row));
}

StateSet trace_set(Trace trace, std::int64_t ticks) {
    const auto rows = static_cast<std::int64_t>(trace.size());
    const std::int64_t shown = std::min(ticks, rows);
    return {"trace", shown,
            [trace = std::move(trace), first = rows - shown](std::int64_t tick, std::span<double> state) {
                const auto inputs =
                    std::ranges::copy(trace[static_cast<std::size_t>(first + tick)], state.begin());
                std::fill(inputs.out, state.end(), std::numeric_limits<double>::quiet_NaN());
            }};
}

Expected<std::vector<double>> read_row(const json& row, std::size_t index, const RobotConfig& config) {
    const std::string place = "states[" + std::to_string(index) + "]";
    if (!row.is_array() || row.size() != config.states.size()) {
        return fail(
            place + " must hold " + std::to_string(config.states.size()) +
            " values, one for each state channel of the robot; record the trace again with this robot.toml");
    }
    std::vector<double> values;
    for (const json& value : row) {
        if (!value.is_number() && !value.is_null()) {
            return fail(place +
                        " must hold numbers, or null where a sample was stale; record the trace again");
        }
        values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
    }
    return values;
}

}  // namespace

std::vector<StateSet> state_sets(const RobotConfig& config, std::int64_t ticks, std::uint64_t seed,
                                 Trace trace) {
    std::vector<double> lowest;
    std::vector<double> highest;
    for (const Range& limits : readable_limits(config)) {
        lowest.push_back(limits.min);
        highest.push_back(limits.max);
    }
    std::vector<StateSet> sets;
    sets.push_back(constant("zero", ticks, std::vector<double>(config.readable_count())));
    sets.push_back(constant("limits.min", ticks, std::move(lowest)));
    sets.push_back(constant("limits.max", ticks, std::move(highest)));
    sets.push_back(random_set(config, ticks, seed));
    if (!config.inputs.empty()) sets.push_back(stale_inputs_set(config, ticks));
    if (!trace.empty()) sets.push_back(trace_set(std::move(trace), ticks));
    return sets;
}

Expected<Trace> read_trace(const std::filesystem::path& file, const RobotConfig& config) {
    std::ifstream stream(file);
    if (!stream)
        return fail("the trace " + file.string() + " cannot be read; check its path and permissions");
    const json document = json::parse(stream, nullptr, false);
    if (!document.is_object() || !document.contains("states") || !document["states"].is_array()) {
        return fail("the trace " + file.string() + R"( is not {"states": [[...], ...]}; record it again)");
    }
    Trace trace;
    for (const json& row : document["states"]) {
        auto values = read_row(row, trace.size(), config);
        if (!values) return fail("the trace " + file.string() + ": " + values.error().message);
        trace.push_back(std::move(*values));
    }
    return trace;
}

}  // namespace holdfast::verify
