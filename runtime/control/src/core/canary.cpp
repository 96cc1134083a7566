#include "core/canary.hpp"

#include <algorithm>

namespace holdfast::core {

void Canary::begin() {
    active_last_ = {};
    sent_last_ = {};
}

void Canary::follow(const Setpoint& active) {
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        if ((active.set >> c & 1u) == 0) continue;
        active_last_[c] = {true, active.value[c]};
        // A canary begins from what is sent before it.
        if (!sent_last_[c].set) sent_last_[c] = active_last_[c];
    }
}

std::uint64_t Canary::blend(const wasm::TickOutput& candidate, Setpoint& setpoint) {
    std::uint64_t limited = 0;
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        const Wish near = active_wish(c, setpoint);
        const Wish wish = candidate_wish(c, candidate);
        const Range& limits = config_.commands[c].limits;
        const double deviation = config_.control.canary_deviation * (limits.max - limits.min);
        const double value =
            std::clamp(wish.set ? wish.value : near.value, near.value - deviation, near.value + deviation);
        setpoint.set = near.set ? setpoint.set | 1u << c : setpoint.set & ~(1u << c);
        setpoint.value[c] = value;
        sent_last_[c] = {near.set, value};
        if (wish.set && (!near.set || value != wish.value)) ++limited;
    }
    return limited;
}

Canary::Wish Canary::active_wish(std::size_t channel, const Setpoint& active) const {
    if ((active.set >> channel & 1u) != 0) return {true, active.value[channel]};
    const CommandChannel& c = config_.commands[channel];
    return c.kind == ChannelKind::kPosition ? active_last_[channel] : Wish{true, c.default_value};
}

Canary::Wish Canary::candidate_wish(std::size_t channel, const wasm::TickOutput& candidate) const {
    if ((candidate.set >> channel & 1u) != 0) return {true, candidate.value[channel]};
    const CommandChannel& c = config_.commands[channel];
    return c.kind == ChannelKind::kPosition ? sent_last_[channel] : Wish{true, c.default_value};
}

}  // namespace holdfast::core
