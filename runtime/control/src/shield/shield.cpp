#include "shield/shield.hpp"

#include <algorithm>
#include <cmath>

#include "shield/jerk_limited.hpp"
#include "shield/rounding.hpp"

namespace holdfast {
namespace {

bool usable(double dt_s) { return std::isfinite(dt_s) && dt_s > 0.0; }

bool measured(const ChannelContext& context) {
    return context.position_fresh && std::isfinite(context.position);
}

// The highest speed v from which a stop is possible within `distance`, one more step at v included:
// v*dt + v^2/(2a) = distance. Decelerating by `accel` from there keeps this true for every later dt.
double approach_speed(double distance, double accel, double dt_s) {
    if (distance <= 0.0) return 0.0;
    const double step = accel * dt_s;
    return 2.0 * accel * distance / (step + std::sqrt(step * step + 2.0 * accel * distance));
}

// The rate that leads a position channel to `target` and lets it stop there, within max_rate and max_accel.
double profile_velocity(const ChannelRules& rules, double target, double dt_s,
                        const ChannelHistory& history) {
    const double accel = rules.motion.acceleration;
    const double error = target - history.sent;
    const double speed =
        std::min(approach_speed(std::abs(error), accel, dt_s), rules.max_rate * rules.speed_scale);
    return toward(history.velocity, std::copysign(speed, error), accel * dt_s);
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

double shield_position(const ChannelRules& rules, double wish, double dt_s, ChannelHistory& history,
                       ShieldCounts& counts) {
    if (has_jerk_limit(rules)) return position_with_jerk(rules, wish, dt_s, history, counts);
    const double last = history.sent;
    const double profiled = profile_velocity(rules, wish, dt_s, history);
    const double velocity = stopping_velocity(rules.limits, last, profiled, history.velocity,
                                              rules.motion.acceleration, dt_s, counts);
    const double moved = last + velocity * dt_s;
    const double value = same(moved, wish) ? wish : moved;
    if (value != wish) ++counts.rate_limited;
    history.sent = limits_again(rules.limits, last, value, counts);
    history.velocity = history.sent == value ? velocity : (history.sent - last) / dt_s;
    return history.sent;
}

double shield_velocity(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s,
                       ChannelHistory& history, ShieldCounts& counts) {
    const double target = wish * rules.speed_scale;
    if (has_jerk_limit(rules)) return velocity_with_jerk(rules, target, context, dt_s, history, counts);
    const double accel = rules.motion.acceleration;
    const double last = history.sent;
    double value = toward(last, target, accel * dt_s);
    if (value != target) ++counts.rate_limited;
    if (rules.position_limits) {
        value = stopping_velocity(*rules.position_limits, context.position, value, last, accel, dt_s, counts);
    }
    history.sent = limits_again(rules.limits, last, value, counts);
    return history.sent;
}

double shield_effort(const ChannelRules& rules, double wish, double dt_s, ChannelHistory& history,
                     ShieldCounts& counts) {
    const double last = history.sent;
    const double value = toward(last, wish, rules.motion.acceleration * dt_s);
    if (value != wish) ++counts.rate_limited;
    history.sent = limits_again(rules.limits, last, value, counts);
    return history.sent;
}

bool needs_position(const ChannelRules& rules) {
    return rules.kind == ChannelKind::kPosition ||
           (rules.kind == ChannelKind::kVelocity && rules.position_limits.has_value());
}

// Where a position channel stays once it stands: where the joint is, unless that is outside the limits.
double hold_point(const ChannelRules& rules, const ChannelContext& context, const ChannelHistory& history) {
    const double rest = measured(context) ? context.hold.value_or(context.position) : history.sent;
    if (!inside(rules.limits, history.sent)) return rest;
    return std::clamp(rest, rules.limits.min, rules.limits.max);
}

Motion step_to_hold(const ChannelRules& rules, double dt_s, const ChannelHistory& history) {
    if (has_jerk_limit(rules)) {
        const Motion next = step_toward(motion_of(history), history.hold, rules.max_rate, rules.motion, dt_s);
        return arrived(next, history.hold);
    }
    const double velocity = profile_velocity(rules, history.hold, dt_s, history);
    return {history.sent + velocity * dt_s, velocity, 0.0};
}

double hold_position(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                     ChannelHistory& history) {
    const double last = history.sent;
    Motion next;
    if (!history.holding && (history.velocity != 0.0 || history.acceleration != 0.0)) {
        next = position_stop(rules, motion_of(history), dt_s);
        if (!has_jerk_limit(rules)) next.acceleration = 0.0;
    } else {
        if (!history.holding) history.hold = hold_point(rules, context, history);
        history.holding = true;
        next = step_to_hold(rules, dt_s, history);
    }
    settle_at(next, history);
    if (inside(rules.limits, last))
        history.sent = std::clamp(next.position, rules.limits.min, rules.limits.max);
    return history.sent;
}

// Where a velocity channel starts; nothing: it waits for the measurement. After a pause it is the slower of
// what was measured and what was sent before: the drive may still be on its way to the one, and the safety
// daemon's stop was on its way from the other.
std::optional<double> start_velocity(const ChannelRules& rules, const AxisVelocity& axis,
                                     const ChannelHistory& history) {
    if (!axis.measured || !std::isfinite(*axis.measured)) {
        if (axis.awaited) return std::nullopt;
        return 0.0;
    }
    const double measured = std::clamp(*axis.measured, rules.limits.min, rules.limits.max);
    if (!history.paused) return measured;
    if (measured * history.sent <= 0.0) return 0.0;
    return std::abs(measured) < std::abs(history.sent) ? measured : history.sent;
}

std::optional<double> start_value(const ChannelRules& rules, const ChannelContext& context,
                                  const ChannelHistory& history) {
    switch (rules.kind) {
        case ChannelKind::kPosition:
            if (!measured(context)) return std::nullopt;
            return context.position;
        case ChannelKind::kVelocity:
            return start_velocity(rules, context.velocity, history);
        case ChannelKind::kEffort:
            break;
    }
    return 0.0;
}

double stop_velocity(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                     ChannelHistory& history) {
    const Motion last{context.position, history.sent, history.acceleration};
    const Motion next = velocity_stop(rules, last, measured(context), dt_s);
    history.sent = next.velocity;
    history.acceleration = has_jerk_limit(rules) ? next.acceleration : 0.0;
    return history.sent;
}

}  // namespace

ShieldCounts& ShieldCounts::operator+=(const ShieldCounts& more) {
    not_finite += more.not_finite;
    limited += more.limited;
    rate_limited += more.rate_limited;
    stopping_distance += more.stopping_distance;
    conflict += more.conflict;
    coupling += more.coupling;
    workspace += more.workspace;
    zone_slow += more.zone_slow;
    zone_stop += more.zone_stop;
    return *this;
}

ChannelRules rules_of(const CommandChannel& channel) {
    const bool effort = channel.kind == ChannelKind::kEffort;
    return {.kind = channel.kind,
            .limits = channel.limits,
            .max_rate = channel.max_rate,
            .motion = {.acceleration = effort ? channel.max_rate : channel.max_accel,
                       .jerk = channel.max_jerk.value_or(kNoJerkLimit)},
            .position_limits = channel.position_limits};
}

ChannelHistory followed(const CommandChannel& channel, const ChannelHistory& last, double sent, double dt_s) {
    ChannelHistory now{.sent = sent, .started = true};
    if (dt_s <= 0.0) return now;
    const double rate = (sent - last.sent) / dt_s;
    if (channel.kind == ChannelKind::kPosition)
        now.velocity = std::clamp(rate, -channel.max_rate, channel.max_rate);
    if (!channel.max_jerk) return now;
    const double change =
        channel.kind == ChannelKind::kPosition ? (now.velocity - last.velocity) / dt_s : rate;
    now.acceleration = std::clamp(change, -channel.max_accel, channel.max_accel);
    return now;
}

double step_time(double dt_s) { return usable(dt_s) ? std::min(dt_s, kMaxStepS) : kAssumedStepS; }

bool prepare(const ChannelRules& rules, const ChannelContext& context, double dt_s, ChannelHistory& history) {
    const bool pause = usable(dt_s) && dt_s > kMaxStepS && rules.kind != ChannelKind::kEffort;
    if (pause && history.started)
        history = {.sent = history.sent, .paused = true, .acceleration = history.acceleration};
    if (history.started) return true;
    const std::optional<double> start = start_value(rules, context, history);
    if (!start) return false;
    // A velocity that nobody has changed meanwhile goes on.
    const bool goes_on = rules.kind == ChannelKind::kVelocity && *start == history.sent;
    history = {.sent = *start, .started = true, .acceleration = goes_on ? history.acceleration : 0.0};
    return true;
}

bool must_stop(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s) {
    return !std::isfinite(wish) || !usable(dt_s) || (needs_position(rules) && !measured(context));
}

double shield_command(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s,
                      ChannelHistory& history, ShieldCounts& counts) {
    if (!std::isfinite(wish)) ++counts.not_finite;
    if (!usable(dt_s)) ++counts.conflict;
    if (must_stop(rules, wish, context, dt_s) || !prepare(rules, context, dt_s, history))
        return safe_command(rules, context, dt_s, history);
    const double limited = std::clamp(wish, rules.limits.min, rules.limits.max);
    if (limited != wish) ++counts.limited;
    history.holding = false;
    switch (rules.kind) {
        case ChannelKind::kPosition:
            return shield_position(rules, limited, step_time(dt_s), history, counts);
        case ChannelKind::kVelocity:
            return shield_velocity(rules, limited, context, step_time(dt_s), history, counts);
        case ChannelKind::kEffort:
            break;
    }
    return shield_effort(rules, limited, step_time(dt_s), history, counts);
}

double shield_command(const CommandChannel& channel, double wish, const ChannelContext& context, double dt_s,
                      ChannelHistory& history, ShieldCounts& counts) {
    return shield_command(rules_of(channel), wish, context, dt_s, history, counts);
}

double safe_command(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                    ChannelHistory& history) {
    if (!prepare(rules, context, dt_s, history)) {
        const bool position = rules.kind == ChannelKind::kPosition && std::isfinite(context.position);
        return position ? context.position : history.sent;
    }
    switch (rules.kind) {
        case ChannelKind::kPosition:
            return hold_position(rules, context, step_time(dt_s), history);
        case ChannelKind::kVelocity:
            return stop_velocity(rules, context, step_time(dt_s), history);
        case ChannelKind::kEffort:
            break;
    }
    history.sent = 0.0;
    return history.sent;
}

double safe_command(const CommandChannel& channel, const ChannelContext& context, double dt_s,
                    ChannelHistory& history) {
    return safe_command(rules_of(channel), context, dt_s, history);
}

}  // namespace holdfast
