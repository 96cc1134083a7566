// The filter between a controller's wishes and the drives (DESIGN rules 2 and 5). Pure: no allocation, clock or I/O;
// any thread. The same code runs in holdfast-control, holdfast-verify and (safe_command) in holdfast-safety.
#pragma once

#include <span>

#include "robot/config.hpp"

namespace holdfast {

struct ShieldCounts {
    std::uint64_t not_finite{};
    std::uint64_t limited{};  // outside the channel limits
    std::uint64_t rate_limited{};
    std::uint64_t stopping_distance{};
    std::uint64_t conflict{};
};

// What is known of one channel besides the wish.
struct ChannelContext {
    double position{};         // measured, if the channel has a position_state
    bool position_fresh{};     // within its age limit
};

// The memory of one channel between cycles.
struct ChannelHistory {
    double sent{};      // value last sent
    double velocity{};  // position channels: rate of what was sent, unit/s
    bool started{};     // false: nothing sent yet
};

// Filters one wish. `dt_s` is the measured time since the last frame. What it returns satisfies the limits, the
// rates and the stopping distance; a wish that is not finite, or a stale position where one is needed, gives the safe command.
[[nodiscard]] double shield_command(const CommandChannel& channel, double wish, const ChannelContext& context,
                                    double dt_s, ChannelHistory& history, ShieldCounts& counts);

// The next value on the way to standstill: velocity -> 0 along max_accel; position -> decelerate along max_accel, then
// hold (from standstill: hold the measured position); effort -> 0 at once.
[[nodiscard]] double safe_command(const CommandChannel& channel, const ChannelContext& context, double dt_s,
                                  ChannelHistory& history);

}  // namespace holdfast
