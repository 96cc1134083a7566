// Verify: a candidate runs in the production host and through the production shield, for several sets of
// states, before any robot runs it (DESIGN §3). Its messages are written so that a language model can repair
// the source.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shield/robot_shield.hpp"
#include "verify/state_set.hpp"
#include "wasm/controller.hpp"

namespace holdfast::verify {

struct Rejection {
    std::string stage;  // "compile", "link", "instantiate", "verify"
    std::string error;  // one sentence with place and mend
    // Known at the stage "verify" only.
    std::optional<std::int64_t> tick;
    std::optional<std::string> channel;
    std::optional<double> value;
    std::optional<std::string> state;  // the state set's name
};

struct Accepted {
    std::int64_t ticks{};             // for each state set
    std::vector<std::string> states;  // names of the state sets
    double max_tick_us{};
    ShieldCounts shield;  // what the filter had to change; no reason to refuse
};

template <typename T>
using Verified = tl::expected<T, Rejection>;

// A rejection whose sentence begins with its stage: "link: ...".
[[nodiscard]] Rejection rejection_of(const Error& error);

// Runs each set with a fresh instance from tick 0. The engine's epoch must be advancing. A set in which a
// tick is late is run again, up to three times in all: only a controller that is late each time is refused,
// not a busy machine.
[[nodiscard]] Verified<Accepted> verify(const std::shared_ptr<wasm::Engine>& engine,
                                        const RobotConfig& config, const std::filesystem::path& cwasm,
                                        const std::vector<StateSet>& sets);

}  // namespace holdfast::verify
