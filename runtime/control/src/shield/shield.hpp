// The filter between a controller's wishes and the drives (DESIGN rules 2 and 5). Pure: no allocation, clock
// or I/O; any thread. The same code runs in holdfast-control, holdfast-verify and (safe_command) in
// holdfast-safety.
//
// A position channel is moved along a profile: never faster than max_rate, never changing its rate by more
// than max_accel (and that by no more than max_jerk), and always able to stop at the wish and before the
// limits. A velocity or effort channel is a ramp.
//
// This is the filter of one channel by itself; what channels owe to each other is in robot_shield.hpp.
#pragma once

#include <cstdint>
#include <optional>

#include "robot/config.hpp"
#include "shield/motion.hpp"

namespace holdfast {

// A longer pause counts as one this long: the step after it stays small.
inline constexpr double kMaxStepS = 0.1;
inline constexpr std::int64_t kMaxStepNs = 100'000'000;
// Stands in for a `dt_s` that is not a positive number, so that a stop makes progress without a clock.
inline constexpr double kAssumedStepS = 0.001;

struct ShieldCounts {
    std::uint64_t not_finite{};
    std::uint64_t limited{};       // outside the channel limits
    std::uint64_t rate_limited{};  // held back by rate or acceleration
    std::uint64_t stopping_distance{};
    std::uint64_t conflict{};   // the rules contradicted each other, or the time was not usable: decelerated
    std::uint64_t coupling{};   // held back by a [[coupling]], per cycle
    std::uint64_t workspace{};  // held back by the [workspace], per cycle
    std::uint64_t zone_slow{};  // cycles slowed down by a [[zone]]
    std::uint64_t zone_stop{};  // cycles stopped by a [[zone]], its distance unknown included

    ShieldCounts& operator+=(const ShieldCounts& more);
};

// What one channel must keep: a CommandChannel in the form the filter works on.
struct ChannelRules {
    ChannelKind kind{};
    Range limits;
    double max_rate{};    // position channels
    MotionLimits motion;  // of the rate of a position channel, of the value of a velocity or effort channel
    std::optional<Range> position_limits;
    // Rule of a [[zone]]: slower in the same proportion for every channel. Effort is no speed and stays.
    double speed_scale{1.0};
};
[[nodiscard]] ChannelRules rules_of(const CommandChannel& channel);

// How fast the drive of a velocity channel turns, as far as that is known now. Only a channel that starts
// looks at it.
struct AxisVelocity {
    std::optional<double> measured{};
    bool awaited{};  // not known, but it may be in a moment: nothing is sent before
};

// What is known of one channel besides the wish.
struct ChannelContext {
    double position{};      // measured, if the channel has a position_state
    bool position_fresh{};  // within its age limit
    // Where a position channel stays once it stands, if not where it was measured. No rule looks at it.
    std::optional<double> hold{};
    AxisVelocity velocity{};
};

// The memory of one channel between cycles. The first call starts from what is measured: the position of a
// position channel, the velocity of a velocity channel, or zero where its drive does not tell that. Assign {}
// to a position channel whenever its drive is enabled: without it an arm moved by hand would jump back.
//
// After a pause longer than kMaxStepS a position or velocity channel starts anew, since the safety daemon may
// have stopped it meanwhile: going on from what was sent before would undo that.
struct ChannelHistory {
    double sent{};      // value last sent
    double velocity{};  // position channels: rate of what was sent, unit/s
    bool started{};     // false: nothing sent yet, or not since a pause
    bool paused{};      // not started since a pause: a velocity channel does not start faster than `sent`
    bool holding{};     // position channels: safe_command has come to rest and holds `hold`
    double hold{};
    double acceleration{};  // with max_jerk: d(velocity)/dt, of a velocity channel d(sent)/dt
};

// Filters one wish. `dt_s` is the measured time since the last frame. What it returns satisfies the limits,
// the rates and the stopping distance; a wish that is not finite, a time that is not positive, or a stale
// position where one is needed, gives the safe command. Exception: a position that starts outside the limits
// is led back inside along the rates, and counted as a conflict.
[[nodiscard]] double shield_command(const ChannelRules& rules, double wish, const ChannelContext& context,
                                    double dt_s, ChannelHistory& history, ShieldCounts& counts);
[[nodiscard]] double shield_command(const CommandChannel& channel, double wish, const ChannelContext& context,
                                    double dt_s, ChannelHistory& history, ShieldCounts& counts);

// The next value on the way to standstill: velocity -> 0 along max_accel; position -> decelerate along
// max_accel (both within max_jerk, unless such a stop would end outside the position limits), then hold the
// position measured at standstill (taken once: a target that follows the measurement would let a loaded joint
// sink); effort -> 0 at once. A position channel of which nothing was ever measured or sent has no safe
// value: the last one measured is returned, and nothing is started. Enable no drive before its first sample.
[[nodiscard]] double safe_command(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                                  ChannelHistory& history);
[[nodiscard]] double safe_command(const CommandChannel& channel, const ChannelContext& context, double dt_s,
                                  ChannelHistory& history);

// The history of what another process sends: `sent`, `dt_s` after `last`; 0: nothing is known of before.
[[nodiscard]] ChannelHistory followed(const CommandChannel& channel, const ChannelHistory& last, double sent,
                                      double dt_s);

// True: shield_command gives the safe command, whatever the other channels do.
[[nodiscard]] bool must_stop(const ChannelRules& rules, double wish, const ChannelContext& context,
                             double dt_s);
// What both do first: start from the measurement, anew after a long pause. False: there is nothing to start
// from, a position channel without a measurement or a velocity channel whose measurement is awaited.
bool prepare(const ChannelRules& rules, const ChannelContext& context, double dt_s, ChannelHistory& history);
[[nodiscard]] double step_time(double dt_s);

}  // namespace holdfast
