#include "shield/path.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {

Path path_of(const ChannelRules& rules, const Motion& from) {
    Path path{.kind = rules.kind, .from = from, .stop = stop_of(from, rules.motion)};
    path.duration_s = path.stop.duration_s();
    if (path.duration_s == 0.0) return path;
    path.peak_velocity =
        std::abs(from.velocity) + from.acceleration * from.acceleration / (2.0 * rules.motion.jerk);
    path.peak_acceleration = path.stop.peak_acceleration();
    return path;
}

Motion motion_of(const ChannelRules& rules, const ChannelHistory& history, const ChannelContext& context) {
    if (rules.kind == ChannelKind::kPosition) return {history.sent, history.velocity, history.acceleration};
    return {context.position, history.sent, history.acceleration};
}

void take_over(const ChannelRules& rules, const Motion& motion, ChannelHistory& history) {
    history.acceleration = motion.acceleration;
    if (rules.kind == ChannelKind::kPosition) {
        history.sent = motion.position;
        history.velocity = motion.velocity;
    } else {
        history.sent = motion.velocity;
    }
}

Value value_at(const Path& path, double time_s) {
    const Motion motion = path.stop.at(path.from, time_s);
    const double acceleration = path.stop.acceleration_at(time_s);
    const double jerk = path.stop.jerk_at(time_s);
    if (path.kind == ChannelKind::kPosition) return {motion.position, motion.velocity, acceleration, jerk};
    return {motion.velocity, acceleration, jerk, 0.0};
}

}  // namespace holdfast
