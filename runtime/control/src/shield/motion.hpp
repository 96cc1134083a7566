// Jerk-limited motion of one channel in continuous time: where a change of velocity leads, evaluated at any
// moment. Pure; any thread.
//
// A stop that is described in continuous time and only sampled by the cycles stays the same stop whatever the
// times between them are: what was found to end before a limit does end there.
#pragma once

#include <array>
#include <limits>

#include "robot/config.hpp"

namespace holdfast {

inline constexpr double kNoJerkLimit = std::numeric_limits<double>::infinity();

struct Motion {
    double position{};
    double velocity{};
    double acceleration{};
};

struct MotionLimits {
    double acceleration{};
    double jerk{kNoJerkLimit};
};

// From one velocity and acceleration to another velocity with no acceleration, as fast as the limits allow.
class VelocityChange {
  public:
    VelocityChange() = default;
    VelocityChange(double velocity, double acceleration, double target, const MotionLimits& limits);

    [[nodiscard]] double duration_s() const;
    // The motion `time_s` after `from`, which has the velocity and acceleration this change was made for.
    [[nodiscard]] Motion at(const Motion& from, double time_s) const;
    // d(acceleration)/dt from `time_s` on; without a jerk limit, acceleration jumps and this is 0.
    [[nodiscard]] double jerk_at(double time_s) const;
    [[nodiscard]] double acceleration_at(double time_s) const;
    [[nodiscard]] double peak_acceleration() const;  // its magnitude
    // Ends of its parts after their start, in order; some may be equal.
    [[nodiscard]] std::array<double, 3> breaks_s() const;

  private:
    struct Part {
        double duration_s{};
        double acceleration{};  // at its start
        double jerk{};
    };
    void with_jerk(double velocity, double acceleration, double target, const MotionLimits& limits);
    [[nodiscard]] const Part* part_at(double& time_s) const;

    std::array<Part, 3> parts_{};
    double target_{};
};

[[nodiscard]] VelocityChange stop_of(const Motion& from, const MotionLimits& limits);
[[nodiscard]] double stopping_point(const Motion& from, const MotionLimits& limits);
// Every position from here to standstill.
[[nodiscard]] Range stopping_range(const Motion& from, const MotionLimits& limits);

// One step of `dt_s` toward `target`, from which a stop neither passes it nor exceeds `max_velocity` (unless
// it is exceeded already, then it slows down). `limits.jerk` must be finite.
[[nodiscard]] Motion step_toward(const Motion& from, double target, double max_velocity,
                                 const MotionLimits& limits, double dt_s);

}  // namespace holdfast
