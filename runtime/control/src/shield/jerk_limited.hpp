// The steps of one channel with a jerk limit; shield.cpp says when each is taken. Pure.
#pragma once

#include "shield/shield.hpp"

namespace holdfast {

[[nodiscard]] bool has_jerk_limit(const ChannelRules& rules);
[[nodiscard]] Motion motion_of(const ChannelHistory& history);  // of a position channel
// `motion`, or rest at `goal` where only rounding is between them.
[[nodiscard]] Motion arrived(const Motion& motion, double goal);
void settle_at(const Motion& motion, ChannelHistory& history);

// The limits have the last word. Coming from outside them, there is no jump either: each value is nearer.
[[nodiscard]] double limits_again(const Range& limits, double last, double value, ShieldCounts& counts);

double position_with_jerk(const ChannelRules& rules, double wish, double dt_s, ChannelHistory& history,
                          ShieldCounts& counts);
double velocity_with_jerk(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s,
                          ChannelHistory& history, ShieldCounts& counts);

// Stops, with or without a jerk limit. It is given up where the stop would end outside the position limits.
[[nodiscard]] Motion position_stop(const ChannelRules& rules, const Motion& last, double dt_s);
[[nodiscard]] Motion velocity_stop(const ChannelRules& rules, const Motion& last, bool position_known,
                                   double dt_s);

}  // namespace holdfast
