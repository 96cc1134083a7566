#include "shield/jerk_limited.hpp"

#include <algorithm>
#include <cmath>

#include "shield/rounding.hpp"

namespace holdfast {
namespace {

constexpr int kHalvings = 12;

// A motion that is outside already may not go further out, by no rounding either: that would add up.
bool stays_within(const Range& limits, double now, const Range& path) {
    constexpr double kRounding = 1e-10;
    return path.min >= std::min(limits.min - kRounding, now) &&
           path.max <= std::max(limits.max + kRounding, now);
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

// Of a velocity channel with a jerk limit: `position` is measured, and the new value holds for one more step
// before it can be changed.
bool stops_before(const Range& limits, const MotionLimits& motion, double position, const Motion& next,
                  double dt_s) {
    Range path = stopping_range({position, next.velocity, next.acceleration}, motion);
    const double peak = next.velocity + next.acceleration * std::abs(next.acceleration) / (2.0 * motion.jerk);
    path.max += std::max({0.0, next.velocity, peak}) * dt_s;
    path.min += std::min({0.0, next.velocity, peak}) * dt_s;
    return stays_within(limits, position, path);
}

// The longest way toward the wish, stopping for the rest of the step, that keeps the position limits.
Motion velocity_before(const Range& limits, const MotionLimits& motion, const Motion& last,
                       const VelocityChange& drive, double dt_s, ShieldCounts& counts) {
    const auto driven = [&](double time_s) {
        const Motion turned = drive.at(last, time_s);
        return stop_of(turned, motion).at(turned, dt_s - time_s);
    };
    const auto allowed = [&](const Motion& next) {
        return stops_before(limits, motion, last.position, next, dt_s);
    };
    const Motion whole = drive.at(last, dt_s);
    if (allowed(whole)) return whole;
    ++counts.stopping_distance;
    Motion best = driven(0.0);
    if (!allowed(best)) {
        ++counts.conflict;
        return hard_stop(last, motion.acceleration, dt_s);
    }
    double possible_s = 0.0;
    double too_long_s = dt_s;
    for (int i = 0; i < kHalvings; ++i) {
        const double middle_s = (possible_s + too_long_s) / 2.0;
        const Motion next = driven(middle_s);
        const bool good = allowed(next);
        (good ? possible_s : too_long_s) = middle_s;
        if (good) best = next;
    }
    return best;
}

}  // namespace

bool has_jerk_limit(const ChannelRules& rules) { return std::isfinite(rules.motion.jerk); }

Motion motion_of(const ChannelHistory& history) {
    return {history.sent, history.velocity, history.acceleration};
}

Motion arrived(const Motion& motion, double goal) {
    const bool there = near(motion.position, goal, 1e-11) && std::abs(motion.velocity) < 1e-9;
    return there ? Motion{goal, 0.0, 0.0} : motion;
}

void settle_at(const Motion& motion, ChannelHistory& history) {
    history.sent = motion.position;
    history.velocity = motion.velocity;
    history.acceleration = motion.acceleration;
}

double limits_again(const Range& limits, double last, double value, ShieldCounts& counts) {
    const double limited = std::clamp(value, limits.min, limits.max);
    if (same(limited, value)) return limited;
    ++counts.conflict;
    return inside(limits, last) ? limited : value;
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
    next = arrived(next, wish);
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

double velocity_with_jerk(const ChannelRules& rules, double wish, const ChannelContext& context, double dt_s,
                          ChannelHistory& history, ShieldCounts& counts) {
    const Motion last{context.position, history.sent, history.acceleration};
    const VelocityChange drive(last.velocity, last.acceleration, wish, rules.motion);
    const Motion next = rules.position_limits
                            ? velocity_before(*rules.position_limits, rules.motion, last, drive, dt_s, counts)
                            : drive.at(last, dt_s);
    if (next.velocity != wish) ++counts.rate_limited;
    history.acceleration = next.acceleration;
    const double limited = limits_again(rules.limits, history.sent, next.velocity, counts);
    if (!same(limited, next.velocity)) history.acceleration = 0.0;
    history.sent = limited;
    return history.sent;
}

Motion position_stop(const ChannelRules& rules, const Motion& last, double dt_s) {
    const double accel = rules.motion.acceleration;
    if (!has_jerk_limit(rules) || !stops_within_limits(rules, last)) return hard_stop(last, accel, dt_s);
    return stop_of(last, rules.motion).at(last, dt_s);
}

Motion velocity_stop(const ChannelRules& rules, const Motion& last, bool position_known, double dt_s) {
    const Motion next = stop_of(last, rules.motion).at(last, dt_s);
    if (has_jerk_limit(rules) &&
        (!position_known || !rules.position_limits ||
         stops_before(*rules.position_limits, rules.motion, last.position, next, dt_s)))
        return next;
    return hard_stop(last, rules.motion.acceleration, dt_s);
}

}  // namespace holdfast
