// Jerk-limited motion against its definition: limits at every moment, the end it promises, and the same end
// however it is sampled.
#include "shield/motion.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace holdfast {
namespace {

class MotionSweep : public ::testing::TestWithParam<unsigned> {
  protected:
    std::mt19937_64 random_{GetParam()};

    double between(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    double magnitude() { return std::pow(10.0, between(-1.0, 2.0)); }
    MotionLimits any_limits() { return {magnitude(), 10.0 * magnitude()}; }
    Motion any_motion(const MotionLimits& limits) {
        return {between(-5.0, 5.0), between(-3.0, 3.0), between(-1.0, 1.0) * limits.acceleration};
    }
};

TEST_P(MotionSweep, AVelocityChangeKeepsItsLimitsAndArrives) {
    for (int trial = 0; trial < 2000; ++trial) {
        const MotionLimits limits = any_limits();
        const Motion from = any_motion(limits);
        const double target = between(-3.0, 3.0);
        const VelocityChange change(from.velocity, from.acceleration, target, limits);
        const double duration_s = change.duration_s();
        Motion last = from;
        for (int i = 1; i <= 50; ++i) {
            const double step_s = duration_s / 50.0;
            const Motion now = change.at(from, i * step_s);
            ASSERT_LE(std::abs(now.acceleration), limits.acceleration * (1.0 + 1e-9));
            ASSERT_LE(std::abs(now.acceleration - last.acceleration),
                      limits.jerk * step_s * (1.0 + 1e-6) + 1e-9);
            ASSERT_LE(std::abs(now.velocity - last.velocity), limits.acceleration * step_s + 1e-9);
            ASSERT_NEAR(now.position - last.position, (now.velocity + last.velocity) / 2.0 * step_s,
                        limits.jerk * step_s * step_s * step_s / 6.0 + 1e-9);
            last = now;
        }
        const Motion just_before = change.at(from, duration_s * (1.0 - 1e-12));
        ASSERT_NEAR(just_before.velocity, target, 1e-6) << "it jumps to its end";
        ASSERT_NEAR(just_before.acceleration, 0.0, 1e-4 * limits.acceleration + 1e-6);
    }
}

TEST_P(MotionSweep, AStopEndsWhereItWasForetoldHoweverItIsSampled) {
    for (int trial = 0; trial < 500; ++trial) {
        const MotionLimits limits = any_limits();
        Motion now = any_motion(limits);
        const double end = stopping_point(now, limits);
        const Range range = stopping_range(now, limits);
        for (int i = 0; i < 200 && (now.velocity != 0.0 || now.acceleration != 0.0); ++i) {
            now = stop_of(now, limits).at(now, between(0.0, 0.3));
            ASSERT_NEAR(stopping_point(now, limits), end, 1e-7);
            ASSERT_GE(now.position, range.min - 1e-9);
            ASSERT_LE(now.position, range.max + 1e-9);
        }
    }
}

TEST_P(MotionSweep, AStepTowardATargetNeverPassesItAndArrives) {
    for (int trial = 0; trial < 20; ++trial) {
        const MotionLimits limits{between(1.0, 10.0), between(10.0, 200.0)};
        const double max_velocity = between(0.2, 3.0);
        const double target = between(-2.0, 2.0);
        Motion now{between(-2.0, 2.0), 0.0, 0.0};
        const double side = target >= now.position ? 1.0 : -1.0;
        for (int i = 0; i < 20'000 && now.position != target; ++i) {
            now = step_toward(now, target, max_velocity, limits, between(0.0005, 0.02));
            ASSERT_LE(side * (now.position - target), 1e-9);
            ASSERT_LE(std::abs(now.velocity), max_velocity + 1e-9);
            ASSERT_LE(std::abs(now.acceleration), limits.acceleration + 1e-9);
            if (std::abs(now.position - target) < 1e-9) break;
        }
        ASSERT_NEAR(now.position, target, 1e-9);
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, MotionSweep, ::testing::Range(0u, 5u));

}  // namespace
}  // namespace holdfast
