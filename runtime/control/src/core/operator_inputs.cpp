#include "core/operator_inputs.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast::core {
namespace {

using nlohmann::json;

double milliseconds(std::int64_t ns) { return static_cast<double>(ns) * 1e-6; }

}  // namespace

json OperatorInputs::take(const json& request, std::int64_t now_ns) {
    if (const std::string why = refusal(request, now_ns); !why.empty()) {
        exchange_.counters.add(shm::Counter::kInputRefused);
        return {{"ok", false}, {"error", "input: " + why}};
    }
    const auto sampled_ns = request["mono_ns"].get<std::int64_t>();
    for (std::size_t i = 0; i < config_.inputs.size(); ++i) {
        const auto value = request["values"].find(config_.inputs[i].name);
        if (value == request["values"].end()) continue;
        samples_.value[i] = value->get<double>();
        samples_.mono_ns[i] = sampled_ns;
    }
    exchange_.inputs.writable() = samples_;
    exchange_.inputs.publish();
    return {{"ok", true}};
}

// Empty: everything in it can be taken.
std::string OperatorInputs::refusal(const json& request, std::int64_t now_ns) const {
    if (!request.contains("values") || !request["values"].is_object())
        return "\"values\" must be an object of names and numbers";
    if (!request.contains("mono_ns") || !request["mono_ns"].is_number_integer())
        return "\"mono_ns\" must be the CLOCK_MONOTONIC time of the values, in nanoseconds";
    const auto sampled_ns = request["mono_ns"].get<std::int64_t>();
    if (sampled_ns <= 0 || sampled_ns > now_ns)
        return "\"mono_ns\" is no time that has passed; use this machine's CLOCK_MONOTONIC";
    for (const auto& [name, value] : request["values"].items()) {
        if (const std::string why = refusal_of_value(name, value, now_ns - sampled_ns); !why.empty())
            return why;
        // Two senders, or one whose messages overtook each other: the later wish counts, and the other is
        // told.
        const auto index = static_cast<std::size_t>(find(name) - config_.inputs.data());
        if (sampled_ns < samples_.mono_ns[index])
            return name + " was asked for by a later request already; only one sender may steer";
    }
    return "";
}

std::string OperatorInputs::refusal_of_value(const std::string& name, const json& value,
                                             std::int64_t age_ns) const {
    const InputChannel* input = find(name);
    if (input == nullptr) return "robot.toml has no [[input]] named \"" + name + "\"";
    if (!value.is_number() || !std::isfinite(value.get<double>())) return name + " must be a finite number";
    const auto number = value.get<double>();
    if (number < input->limits.min || number > input->limits.max) {
        return name + " " + json(number).dump() + " is outside [" + json(input->limits.min).dump() + ", " +
               json(input->limits.max).dump() + "]; the operator's device must keep to these limits";
    }
    if (age_ns > input->max_age_ns) {
        return name + " is " + json(milliseconds(age_ns)).dump() + " ms old, and may be " +
               json(milliseconds(input->max_age_ns)).dump() + " ms; the way to the robot takes too long";
    }
    return "";
}

const InputChannel* OperatorInputs::find(const std::string& name) const {
    const auto found = std::find_if(config_.inputs.begin(), config_.inputs.end(),
                                    [&](const InputChannel& input) { return input.name == name; });
    return found == config_.inputs.end() ? nullptr : &*found;
}

json OperatorInputs::status(std::int64_t now_ns) const {
    json status = json::object();
    for (std::size_t i = 0; i < config_.inputs.size(); ++i) {
        const bool received = samples_.mono_ns[i] != 0;
        const std::int64_t age_ns = now_ns - samples_.mono_ns[i];
        status[config_.inputs[i].name] = {{"value", received ? json(samples_.value[i]) : json(nullptr)},
                                          {"age_ms", received ? json(milliseconds(age_ns)) : json(nullptr)},
                                          {"fresh", received && age_ns <= config_.inputs[i].max_age_ns}};
    }
    return status;
}

}  // namespace holdfast::core
