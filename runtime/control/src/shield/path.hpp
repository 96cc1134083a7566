// The way to standstill that one channel is on: what the rules between channels are checked against.
// Real-time threads; pure.
#pragma once

#include "shield/motion.hpp"
#include "shield/shield.hpp"

namespace holdfast {

// Rules may be broken by this much by rounding alone.
inline constexpr double kRuleRounding = 1e-9;
// Where a step ended that was just allowed, computed anew from there.
inline constexpr double kStartRounding = 2e-9;

struct Path {
    ChannelKind kind{};
    Motion from;  // position: of a velocity channel the measured one; velocity: of those, what is sent
    VelocityChange stop;
    double duration_s{};
    double peak_velocity{};
    double peak_acceleration{};
};

[[nodiscard]] Path path_of(const ChannelRules& rules, const Motion& from);

// What a history and a measurement say of a channel, and the way back.
[[nodiscard]] Motion motion_of(const ChannelRules& rules, const ChannelHistory& history,
                               const ChannelContext& context);
void take_over(const ChannelRules& rules, const Motion& motion, ChannelHistory& history);

// What is sent on that way, with its derivatives.
struct Value {
    double value{};
    double first{};
    double second{};
    double third{};
};
[[nodiscard]] Value value_at(const Path& path, double time_s);

}  // namespace holdfast
