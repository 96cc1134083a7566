#include "shield/motion.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {
namespace {

constexpr int kMaxHalvings = 12;
constexpr double kCloseEnough = 1e-13;  // of a target, in its unit

}  // namespace

VelocityChange::VelocityChange(double velocity, double acceleration, double target,
                               const MotionLimits& limits)
    : target_(target) {
    if (std::isfinite(limits.jerk)) {
        with_jerk(velocity, acceleration, target, limits);
    } else {
        const double change = target - velocity;
        parts_[0] = {std::abs(change) / limits.acceleration, std::copysign(limits.acceleration, change), 0.0};
    }
}

// The acceleration goes to a peak, stays there and goes to zero. The peak p follows from the areas:
// change = (p^2 - a^2)/2j + p^2/2j + p*hold.
void VelocityChange::with_jerk(double velocity, double acceleration, double target,
                               const MotionLimits& limits) {
    const double jerk = limits.jerk;
    const double without_peak = velocity + acceleration * std::abs(acceleration) / (2.0 * jerk);
    const double sign = target >= without_peak ? 1.0 : -1.0;
    const double a = sign * acceleration;
    const double change = sign * (target - velocity);
    const double peak = std::min(limits.acceleration, std::sqrt(std::max(0.0, jerk * change + a * a / 2.0)));
    const double rise_s = std::abs(peak - a) / jerk;
    const double fall_s = peak / jerk;
    const double gained = (peak + a) / 2.0 * rise_s + peak / 2.0 * fall_s;
    const double hold_s = peak < limits.acceleration ? 0.0 : std::max(0.0, (change - gained) / peak);
    parts_[0] = {rise_s, acceleration, std::copysign(jerk, sign * (peak - a))};
    parts_[1] = {hold_s, sign * peak, 0.0};
    parts_[2] = {fall_s, sign * peak, -sign * jerk};
}

double VelocityChange::duration_s() const {
    return parts_[0].duration_s + parts_[1].duration_s + parts_[2].duration_s;
}

Motion VelocityChange::at(const Motion& from, double time_s) const {
    Motion now = from;
    for (const Part& part : parts_) {
        const double t = std::min(time_s, part.duration_s);
        const double a = part.acceleration;
        const double j = part.jerk;
        if (t > 0.0) {
            now.position += t * (now.velocity + t * (a / 2.0 + t * j / 6.0));
            now.velocity += t * (a + t * j / 2.0);
            now.acceleration = a + t * j;
        }
        if (time_s < part.duration_s) return now;
        time_s -= part.duration_s;
    }
    now.position += target_ * time_s;
    now.velocity = target_;
    now.acceleration = 0.0;
    return now;
}

const VelocityChange::Part* VelocityChange::part_at(double& time_s) const {
    for (const Part& part : parts_) {
        if (time_s < part.duration_s) return &part;
        time_s -= part.duration_s;
    }
    return nullptr;
}

double VelocityChange::jerk_at(double time_s) const {
    const Part* part = part_at(time_s);
    return part == nullptr ? 0.0 : part->jerk;
}

double VelocityChange::acceleration_at(double time_s) const {
    const Part* part = part_at(time_s);
    return part == nullptr ? 0.0 : part->acceleration + part->jerk * time_s;
}

double VelocityChange::peak_acceleration() const {
    double peak = 0.0;
    for (const Part& part : parts_) {
        if (part.duration_s > 0.0) peak = std::max(peak, std::abs(part.acceleration));
    }
    return peak;
}

std::array<double, 3> VelocityChange::breaks_s() const {
    const double first = parts_[0].duration_s;
    const double second = first + parts_[1].duration_s;
    return {first, second, second + parts_[2].duration_s};
}

VelocityChange stop_of(const Motion& from, const MotionLimits& limits) {
    return {from.velocity, from.acceleration, 0.0, limits};
}

double stopping_point(const Motion& from, const MotionLimits& limits) {
    const VelocityChange stop = stop_of(from, limits);
    return stop.at(from, stop.duration_s()).position;
}

// A deceleration too strong to be taken back in time turns the motion round once, before it stands.
Range stopping_range(const Motion& from, const MotionLimits& limits) {
    const double v = from.velocity;
    const double a = from.acceleration;
    const double end = stopping_point(from, limits);
    Range range{std::min(from.position, end), std::max(from.position, end)};
    const bool turns = std::isfinite(limits.jerk) && v * a < 0.0 && a * a > 2.0 * limits.jerk * std::abs(v);
    if (turns) {
        const double turn_s =
            2.0 * std::abs(v) / (std::abs(a) + std::sqrt(a * a - 2.0 * limits.jerk * std::abs(v)));
        const double turn = stop_of(from, limits).at(from, turn_s).position;
        range = {std::min(range.min, turn), std::max(range.max, turn)};
    }
    return range;
}

Motion step_toward(const Motion& from, double target, double max_velocity, const MotionLimits& limits,
                   double dt_s) {
    const double direction = target >= stopping_point(from, limits) ? 1.0 : -1.0;
    const VelocityChange drive(from.velocity, from.acceleration, direction * max_velocity, limits);
    const auto passed_after = [&](double time_s) {
        return direction * (stopping_point(drive.at(from, time_s), limits) - target);
    };
    double too_far = passed_after(dt_s);
    if (too_far <= 0.0) return drive.at(from, dt_s);
    // Regula falsi, the Illinois way: the longest drive whose stop does not pass the target.
    double short_of = passed_after(0.0);
    double driven_s = 0.0;
    double too_long_s = dt_s;
    for (int i = 0; i < kMaxHalvings && short_of < -kCloseEnough; ++i) {
        const double middle_s = (driven_s * too_far - too_long_s * short_of) / (too_far - short_of);
        const double passed = passed_after(middle_s);
        if (passed > 0.0) {
            too_long_s = middle_s;
            too_far = passed;
            short_of /= 2.0;
        } else {
            driven_s = middle_s;
            short_of = passed;
            too_far /= 2.0;
        }
    }
    const Motion turned = drive.at(from, driven_s);
    return stop_of(turned, limits).at(turned, dt_s - driven_s);
}

}  // namespace holdfast
