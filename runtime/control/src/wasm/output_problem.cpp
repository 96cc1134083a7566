#include "wasm/output_problem.hpp"

#include <array>
#include <charconv>

namespace holdfast::wasm {
namespace {

std::string number(double value) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return {digits.data(), end};
}

OutputProblem wrong_value(const RobotConfig& config, std::int32_t channel, double value,
                          const std::string& why) {
    const std::string& name = config.commands[static_cast<std::size_t>(channel)].name;
    return {
        .text = "command.set(" + std::to_string(channel) + " \"" + name + "\", " + number(value) + ") " + why,
        .channel = name,
        .value = value};
}

OutputProblem plain(std::string text) { return {.text = std::move(text), .channel = {}, .value = {}}; }

}  // namespace

std::optional<OutputProblem> output_problem(const TickOutput& output, const RobotConfig& config) {
    if (output.not_finite_count > 0) {
        return wrong_value(
            config, output.not_finite_channel, output.not_finite_value,
            "is not finite, which is an e-stop on the robot; check divisions, square roots and "
            "every state.get (NaN where a sample is stale) before setting it");
    }
    if (output.no_channel_count > 0) {
        return plain("command.set(" + std::to_string(output.no_channel) +
                     ", ...) names a channel that does not exist; the robot has " +
                     std::to_string(config.commands.size()) +
                     " command channels, counted from 0: use command.count");
    }
    if (output.clamped_count > 0) {
        const Range& limits = config.commands[static_cast<std::size_t>(output.clamped_channel)].limits;
        return wrong_value(config, output.clamped_channel, output.clamped_value,
                           "is outside [" + number(limits.min) + ", " + number(limits.max) +
                               "]; clamp the value with command.limit_min/limit_max before setting it");
    }
    if (output.estop_requested) {
        return plain(
            "process called safety.request_estop, which latches; request it for a real danger only, not in a "
            "state "
            "like this one");
    }
    return std::nullopt;
}

}  // namespace holdfast::wasm
