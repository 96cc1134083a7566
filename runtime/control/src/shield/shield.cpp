#include "shield/shield.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {
namespace {

bool usable(double dt_s) { return std::isfinite(dt_s) && dt_s > 0.0; }

double step_time(double dt_s) { return usable(dt_s) ? std::min(dt_s, kMaxStepS) : kAssumedStepS; }

bool inside(const Range& range, double value) { return value >= range.min && value <= range.max; }

// Rounding of a sum of steps is neither a motion nor a broken rule.
bool same(double a, double b) { return std::abs(a - b) <= 1e-12 * std::max({1.0, std::abs(a), std::abs(b)}); }

double toward(double from, double to, double step) { return std::clamp(to, from - step, from + step); }

// The highest speed v from which a stop is possible within `distance`, one more step at v included:
// v*dt + v^2/(2a) = distance. Decelerating by `accel` from there keeps this true for every later dt.
double approach_speed(double distance, double accel, double dt_s) {
    if (distance <= 0.0) return 0.0;
    const double step = accel * dt_s;
    return 2.0 * accel * distance / (step + std::sqrt(step * step + 2.0 * accel * distance));
}

// False: a position channel without a measurement, which has nothing to start from.
bool start(const CommandChannel& channel, const ChannelContext& context, ChannelHistory& history) {
    if (history.started) return true;
    const bool position = channel.kind == ChannelKind::kPosition;
    if (position && !(context.position_fresh && std::isfinite(context.position))) return false;
    history = {.sent = position ? context.position : 0.0, .started = true};
    return true;
}

// After a pause beyond kMaxStepS what was sent has long stood still.
void settle_after_pause(double dt_s, ChannelHistory& history) {
    if (usable(dt_s) && dt_s > kMaxStepS) history.velocity = 0.0;
}

// The rate that leads a position channel to `target` and lets it stop there, within max_rate and max_accel.
double profile_velocity(const CommandChannel& channel, double target, double dt_s,
                        const ChannelHistory& history) {
    const double error = target - history.sent;
    const double speed = std::min(approach_speed(std::abs(error), channel.max_accel, dt_s), channel.max_rate);
    return toward(history.velocity, std::copysign(speed, error), channel.max_accel * dt_s);
}

// Takes the part of `velocity` that could not be stopped before the position limits; what acceleration does
// not allow to take is a conflict, and then it decelerates as hard as it may.
double stopping_velocity(const Range& limits, double position, double velocity, double last_velocity,
                         double accel, double dt_s, ShieldCounts& counts) {
    const double bounded = std::clamp(velocity, -approach_speed(position - limits.min, accel, dt_s),
                                      approach_speed(limits.max - position, accel, dt_s));
    if (same(bounded, velocity)) return velocity;
    ++counts.stopping_distance;
    const double reached = toward(last_velocity, bounded, accel * dt_s);
    if (!same(reached, bounded)) ++counts.conflict;
    return reached;
}

// The limits have the last word. Coming from outside them, there is no jump either: each value is nearer.
double limits_again(const Range& limits, double last, double value, ShieldCounts& counts) {
    const double limited = std::clamp(value, limits.min, limits.max);
    if (same(limited, value)) return limited;
    ++counts.conflict;
    return inside(limits, last) ? limited : value;
}

double shield_position(const CommandChannel& channel, double wish, double dt_s, ChannelHistory& history,
                       ShieldCounts& counts) {
    const double last = history.sent;
    const double profiled = profile_velocity(channel, wish, dt_s, history);
    const double velocity =
        stopping_velocity(channel.limits, last, profiled, history.velocity, channel.max_accel, dt_s, counts);
    const double moved = last + velocity * dt_s;
    const double value = same(moved, wish) ? wish : moved;
    if (value != wish && velocity == profiled) ++counts.rate_limited;
    history.sent = limits_again(channel.limits, last, value, counts);
    history.velocity = history.sent == value ? velocity : (history.sent - last) / dt_s;
    return history.sent;
}

double shield_velocity(const CommandChannel& channel, double wish, const ChannelContext& context, double dt_s,
                       ChannelHistory& history, ShieldCounts& counts) {
    const double last = history.sent;
    double value = toward(last, wish, channel.max_accel * dt_s);
    if (value != wish) ++counts.rate_limited;
    if (channel.position_limits) {
        value = stopping_velocity(*channel.position_limits, context.position, value, last, channel.max_accel,
                                  dt_s, counts);
    }
    history.sent = limits_again(channel.limits, last, value, counts);
    return history.sent;
}

double shield_effort(const CommandChannel& channel, double wish, double dt_s, ChannelHistory& history,
                     ShieldCounts& counts) {
    const double last = history.sent;
    const double value = toward(last, wish, channel.max_rate * dt_s);
    if (value != wish) ++counts.rate_limited;
    history.sent = limits_again(channel.limits, last, value, counts);
    return history.sent;
}

bool needs_position(const CommandChannel& channel) {
    return channel.kind == ChannelKind::kPosition ||
           (channel.kind == ChannelKind::kVelocity && channel.position_limits.has_value());
}

double hold_position(const CommandChannel& channel, const ChannelContext& context, double dt_s,
                     ChannelHistory& history) {
    if (!history.holding && history.velocity != 0.0) {
        history.velocity = toward(history.velocity, 0.0, channel.max_accel * dt_s);
    } else {
        if (!history.holding) {
            const bool measured = context.position_fresh && std::isfinite(context.position);
            const double rest = measured ? context.position : history.sent;
            history.hold = inside(channel.limits, history.sent)
                               ? std::clamp(rest, channel.limits.min, channel.limits.max)
                               : rest;
            history.holding = true;
        }
        history.velocity = profile_velocity(channel, history.hold, dt_s, history);
    }
    const double last = history.sent;
    const double value = last + history.velocity * dt_s;
    history.sent =
        inside(channel.limits, last) ? std::clamp(value, channel.limits.min, channel.limits.max) : value;
    return history.sent;
}

}  // namespace

double shield_command(const CommandChannel& channel, double wish, const ChannelContext& context, double dt_s,
                      ChannelHistory& history, ShieldCounts& counts) {
    if (!std::isfinite(wish)) ++counts.not_finite;
    if (!usable(dt_s)) ++counts.conflict;
    const bool blind =
        needs_position(channel) && !(context.position_fresh && std::isfinite(context.position));
    if (!std::isfinite(wish) || !usable(dt_s) || blind || !start(channel, context, history)) {
        return safe_command(channel, context, dt_s, history);
    }
    const double limited = std::clamp(wish, channel.limits.min, channel.limits.max);
    if (limited != wish) ++counts.limited;
    settle_after_pause(dt_s, history);
    history.holding = false;
    switch (channel.kind) {
        case ChannelKind::kPosition:
            return shield_position(channel, limited, step_time(dt_s), history, counts);
        case ChannelKind::kVelocity:
            return shield_velocity(channel, limited, context, step_time(dt_s), history, counts);
        case ChannelKind::kEffort:
            break;
    }
    return shield_effort(channel, limited, step_time(dt_s), history, counts);
}

double safe_command(const CommandChannel& channel, const ChannelContext& context, double dt_s,
                    ChannelHistory& history) {
    if (!start(channel, context, history)) return std::isfinite(context.position) ? context.position : 0.0;
    settle_after_pause(dt_s, history);
    switch (channel.kind) {
        case ChannelKind::kPosition:
            return hold_position(channel, context, step_time(dt_s), history);
        case ChannelKind::kVelocity:
            history.sent = toward(history.sent, 0.0, channel.max_accel * step_time(dt_s));
            return history.sent;
        case ChannelKind::kEffort:
            break;
    }
    history.sent = 0.0;
    return history.sent;
}

}  // namespace holdfast
