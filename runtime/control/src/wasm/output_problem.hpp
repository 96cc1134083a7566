// What a controller that is being tried may not do in a tick, in words that a language model can repair the
// source by. Not real-time.
#pragma once

#include <optional>
#include <string>

#include "wasm/controller.hpp"

namespace holdfast::wasm {

struct OutputProblem {
    std::string text;  // what, and how to mend it
    std::optional<std::string> channel;
    std::optional<double> value;
};

// The first of: a value that is not finite, a channel that does not exist, a value outside the limits, a
// request for an e-stop. Nothing: the output is as it should be.
[[nodiscard]] std::optional<OutputProblem> output_problem(const TickOutput& output,
                                                          const RobotConfig& config);

}  // namespace holdfast::wasm
