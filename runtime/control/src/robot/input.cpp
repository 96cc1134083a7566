#include "robot/input.hpp"

#include <algorithm>

namespace holdfast::robot {
namespace {

constexpr double kMaxAgeMs = 10'000.0;

}  // namespace

InputChannel read_input(Section& section, const std::string& name) {
    for (const auto* key : {"unit", "limits", "max_age_ms"}) section.require(key);
    InputChannel input;
    input.name = name;
    input.unit = section.text("unit").value_or("");
    input.limits = section.range("limits").value_or(Range{});
    input.max_age_ns = section.milliseconds_as_ns("max_age_ms", kMaxAgeMs).value_or(0);
    return input;
}

void refuse_name_of_state(const Section& section, const std::string& name,
                          const std::vector<StateChannel>& states) {
    const bool taken =
        std::any_of(states.begin(), states.end(), [&](const StateChannel& s) { return s.name == name; });
    if (taken && !name.empty()) section.problem("name", "is the name of a [[state]]; give the input its own");
}

}  // namespace holdfast::robot
