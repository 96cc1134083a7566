#include "shield/shield.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {
namespace {

bool usable(double dt_s) { return std::isfinite(dt_s) && dt_s > 0.0; }

bool inside(const Range& range, double value) { return value >= range.min && value <= range.max; }

bool near(double a, double b, double relative) {
    return std::abs(a - b) <= relative * std::max({1.0, std::abs(a), std::abs(b)});
}

// Rounding of a sum of steps is neither a motion nor a broken rule.
bool same(double a, double b) { return near(a, b, 1e-12); }

double toward(double from, double to, double step) { return std::clamp(to, from - step, from + step); }

bool measured(const ChannelContext& context) {
    return context.position_fresh && std::isfinite(context.position);
}

bool has_jerk_limit(const ChannelRules& rules) { return std::isfinite(rules.motion.jerk); }

// The highest speed v from which a stop is possible within `distance`, one more step at v included:
// v*dt + v^2/(2a) = distance. Decelerating by `accel` from there keeps this true for every later dt.
double approach_speed(double distance, double accel, double dt_s) {
    if (distance <= 0.0) return 0.0;
    const double step = accel * dt_s;
    return 2.0 * accel * distance / (step + std::sqrt(step * step + 2.0 * accel * distance));
}

// A motion that is outside already may not go further out.
bool stays_within(const Range& limits, double now, const Range& path) {
    const double min = std::min(limits.min, now);
    const double max = std::max(limits.max, now);
    return (path.min >= min || near(path.min, min, 1e-9)) && (path.max <= max || near(path.max, max, 1e-9));
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

// The limits have the last word. Coming from outside them, there is no jump either: each value is nearer.
double limits_again(const Range& limits, double last, double value, ShieldCounts& counts) {
    const double limited = std::clamp(value, limits.min, limits.max);
    if (same(limited, value)) return limited;
    ++counts.conflict;
    return inside(limits, last) ? limited : value;
}

Motion motion_of(const ChannelHistory& history) {
    return {history.sent, history.velocity, history.acceleration};
}

void settle_at(const Motion& motion, ChannelHistory& history) {
    history.sent = motion.position;
    history.velocity = motion.velocity;
    history.acceleration = motion.acceleration;
}

// The stop without its jerk limit.
Motion hard_stop(const Motion& from, double accel, double dt_s) {
    const double velocity = toward(from.velocity, 0.0, accel * dt_s);
    const double acceleration = velocity == 0.0 ? 0.0 : (velocity - from.velocity) / dt_s;
    return {from.position + velocity * dt_s, velocity, acceleration};
}

bool stops_within_limits(const ChannelRules& rules, const Motion& motion) {
    return stays_within(rules.limits, motion.position, stopping_range(motion, rules.motion));
}

double position_with_jerk(const ChannelRules& rules, double wish, double dt_s, ChannelHistory& history,
                          ShieldCounts& counts) {
    const Motion last = motion_of(history);
    Motion next;
    if (stops_within_limits(rules, last)) {
        next = step_toward(last, wish, rules.max_rate * rules.speed_scale, rules.motion, dt_s);
    } else {
        ++counts.stopping_distance;
        ++counts.conflict;
        next = hard_stop(last, rules.motion.acceleration, dt_s);
    }
    if (near(next.position, wish, 1e-11) && std::abs(next.velocity) < 1e-9) next = {wish, 0.0, 0.0};
    if (next.position != wish) ++counts.rate_limited;
    const double meant = next.position;
    next.position = limits_again(rules.limits, last.position, meant, counts);
    if (!same(next.position, meant)) {
        next.velocity = (next.position - last.position) / dt_s;
        next.acceleration = 0.0;
    }
    settle_at(next, history);
    return history.sent;
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
    if (value != wish && velocity == profiled) ++counts.rate_limited;
    history.sent = limits_again(rules.limits, last, value, counts);
    history.velocity = history.sent == value ? velocity : (history.sent - last) / dt_s;
    return history.sent;
}

// Of a velocity channel with a jerk limit: `position` is measured, and the new value holds for one more step
// before it can be changed.
bool stops_before_position_limits(const ChannelRules& rules, double position, const Motion& next,
                                  double dt_s) {
    Range path = stopping_range({position, next.velocity, next.acceleration}, rules.motion);
    const double peak =
        next.velocity + next.acceleration * std::abs(next.acceleration) / (2.0 * rules.motion.jerk);
    path.max += std::max({0.0, next.velocity, peak}) * dt_s;
    path.min += std::min({0.0, next.velocity, peak}) * dt_s;
    return stays_within(*rules.position_limits, position, path);
}

// The longest way toward the wish, stopping for the rest of the step, that keeps the position limits.
Motion velocity_before_limits(const ChannelRules& rules, const Motion& last, const VelocityChange& drive,
                              double dt_s, ShieldCounts& counts) {
    const auto driven = [&](double time_s) {
        const Motion turned = drive.at(last, time_s);
        return stop_of(turned, rules.motion).at(turned, dt_s - time_s);
    };
    const auto allowed = [&](const Motion& next) {
        return stops_before_position_limits(rules, last.position, next, dt_s);
    };
    const Motion whole = drive.at(last, dt_s);
    if (allowed(whole)) return whole;
    ++counts.stopping_distance;
    Motion best = driven(0.0);
    if (!allowed(best)) {
        ++counts.conflict;
        return hard_stop(last, rules.motion.acceleration, dt_s);
    }
    double possible_s = 0.0;
    double too_long_s = dt_s;
    for (int i = 0; i < 12; ++i) {
        const double middle_s = (possible_s + too_long_s) / 2.0;
        const Motion next = driven(middle_s);
        const bool good = allowed(next);
        (good ? possible_s : too_long_s) = middle_s;
        if (good) best = next;
    }
    return best;
}

double velocity_with_jerk(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s,
                          ChannelHistory& history, ShieldCounts& counts) {
    const Motion last{context.position, history.sent, history.acceleration};
    const VelocityChange drive(last.velocity, last.acceleration, wish, rules.motion);
    const Motion next = rules.position_limits ? velocity_before_limits(rules, last, drive, dt_s, counts)
                                              : drive.at(last, dt_s);
    if (next.velocity != wish) ++counts.rate_limited;
    history.acceleration = next.acceleration;
    const double limited = limits_again(rules.limits, history.sent, next.velocity, counts);
    if (!same(limited, next.velocity)) history.acceleration = 0.0;
    history.sent = limited;
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
    const double rest = measured(context) ? context.position : history.sent;
    if (!inside(rules.limits, history.sent)) return rest;
    return std::clamp(rest, rules.limits.min, rules.limits.max);
}

Motion stop_step(const ChannelRules& rules, const Motion& last, double dt_s) {
    const double accel = rules.motion.acceleration;
    if (!has_jerk_limit(rules) || !stops_within_limits(rules, last)) return hard_stop(last, accel, dt_s);
    return stop_of(last, rules.motion).at(last, dt_s);
}

Motion step_to_hold(const ChannelRules& rules, double dt_s, const ChannelHistory& history) {
    if (has_jerk_limit(rules)) {
        const Motion next = step_toward(motion_of(history), history.hold, rules.max_rate, rules.motion, dt_s);
        const bool there = near(next.position, history.hold, 1e-11) && std::abs(next.velocity) < 1e-9;
        return there ? Motion{history.hold, 0.0, 0.0} : next;
    }
    const double velocity = profile_velocity(rules, history.hold, dt_s, history);
    return {history.sent + velocity * dt_s, velocity, 0.0};
}

double hold_position(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                     ChannelHistory& history) {
    const double last = history.sent;
    Motion next;
    if (!history.holding && (history.velocity != 0.0 || history.acceleration != 0.0)) {
        next = stop_step(rules, motion_of(history), dt_s);
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

double stop_velocity(const ChannelRules& rules, const ChannelContext& context, double dt_s,
                     ChannelHistory& history) {
    const Motion last{measured(context) ? context.position : 0.0, history.sent, history.acceleration};
    Motion next = stop_of(last, rules.motion).at(last, dt_s);
    const bool judged = rules.position_limits && measured(context);
    if (!has_jerk_limit(rules) || (judged && !stops_before_position_limits(rules, last.position, next, dt_s)))
        next = hard_stop(last, rules.motion.acceleration, dt_s);
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
    if (!history.started) {
        const bool position = rules.kind == ChannelKind::kPosition;
        if (position && !measured(context)) return false;
        history = {.sent = position ? context.position : 0.0, .started = true};
    }
    if (usable(dt_s) && dt_s > kMaxStepS) {
        history.velocity = 0.0;
        history.acceleration = 0.0;
    }
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
    if (!prepare(rules, context, dt_s, history))
        return std::isfinite(context.position) ? context.position : 0.0;
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
