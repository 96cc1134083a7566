// The attitude, its bias, and what must not disturb them. Numbers against another implementation:
// runtime/tests/test_estimate.py.
#include "estimate/attitude_filter.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "models.hpp"

namespace holdfast::estimate {
namespace {

using Vector = AttitudeFilter::Vector;

constexpr double kDt = 1e-3;
constexpr double kGravity = 9.80665;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// An IMU with a known true attitude.
class Body {
  public:
    void turn(const Vector& rate, double dt_s) {
        const double angle = rate.norm() * dt_s;
        if (angle > 0.0)
            attitude = attitude * Eigen::Quaterniond(Eigen::AngleAxisd(angle, rate.normalized()));
    }
    [[nodiscard]] Vector measured_acceleration() const {
        return attitude.conjugate() * Vector(0.0, 0.0, kGravity);
    }
    Eigen::Quaterniond attitude{Eigen::Quaterniond::Identity()};
};

double tilt_between(const Eigen::Quaterniond& a, const Eigen::Quaterniond& b) {
    const Vector up_a = a.conjugate() * Vector::UnitZ();
    const Vector up_b = b.conjugate() * Vector::UnitZ();
    return std::atan2(up_a.cross(up_b).norm(), up_a.dot(up_b));
}

TEST(AttitudeFilter, StartsLevelWithTheMeasuredUp) {
    for (const Vector& up : {Vector(0, 0, 1), Vector(1, 0, 0), Vector(0, -1, 0), Vector(0, 0, -1),
                             Vector(0.3, -0.5, 0.8), Vector(-0.6, 0.0, -0.8)}) {
        AttitudeFilter filter(attitude_model());
        filter.update(kGravity * up.normalized());
        const Vector turned = filter.attitude() * up.normalized();
        EXPECT_NEAR((turned - Vector::UnitZ()).norm(), 0.0, 1e-9) << up.transpose();
        EXPECT_NEAR(filter.attitude().norm(), 1.0, 1e-12);
    }
}

TEST(AttitudeFilter, FollowsAMotionAndFindsTheBias) {
    AttitudeFilter filter(attitude_model());
    Body body;
    const Vector bias(0.02, -0.015, 0.01);
    std::mt19937_64 random(3);
    std::normal_distribution<double> gyro_noise(0.0, 5e-3 / std::sqrt(kDt));
    std::normal_distribution<double> accelerometer_noise(0.0, 0.5);
    const auto noise3 = [&random](auto& noise) {
        return Vector(noise(random), noise(random), noise(random));
    };
    filter.update(body.measured_acceleration());
    for (int i = 1; i <= 60'000; ++i) {
        const double t_s = kDt * i;
        const Vector rate(0.8 * std::sin(0.7 * t_s), 0.6 * std::cos(0.5 * t_s), 0.3 * std::sin(0.2 * t_s));
        body.turn(rate, kDt);
        filter.predict(kDt, rate + bias + noise3(gyro_noise));
        filter.update(body.measured_acceleration() + noise3(accelerometer_noise));
    }
    EXPECT_LT(tilt_between(filter.attitude(), body.attitude), 0.01);
    EXPECT_NEAR((filter.bias() - bias).norm(), 0.0, 0.01);
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    EXPECT_NEAR(filter.mean_innovation(), 1.0, 0.5);
}

TEST(AttitudeFilter, AnAccelerationThatIsNotGravityIsNoUp) {
    AttitudeFilter filter(attitude_model());
    filter.update(Vector(0, 0, kGravity));
    const Eigen::Quaterniond before = filter.attitude();
    filter.update(Vector(0, 0, kGravity + 2.1));
    filter.update(Vector(0, 0, kGravity - 2.1));
    filter.update(Vector::Zero());
    EXPECT_EQ(filter.counts().gated, 3u);
    EXPECT_EQ(filter.attitude().coeffs(), before.coeffs());
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
}

TEST(AttitudeFilter, GatedSamplesDoNotStartIt) {
    AttitudeFilter filter(attitude_model());
    filter.update(Vector(5.0, 0, 20.0));
    EXPECT_EQ(filter.health(), EstimateHealth::kWaiting);
}

TEST(AttitudeFilter, AWrongDirectionIsRejectedAndTooManyStartItAfresh) {
    AttitudeFilter filter(attitude_model());
    for (int i = 0; i < 2000; ++i) {
        filter.predict(kDt, Vector::Zero());
        filter.update(Vector(0, 0, kGravity));
    }
    for (int i = 1; i < 10; ++i) {
        filter.update(Vector(kGravity, 0, 0));
        ASSERT_EQ(filter.counts().rejected, static_cast<std::uint64_t>(i));
        ASSERT_EQ(filter.health(), EstimateHealth::kHealthy);
    }
    filter.update(Vector(kGravity, 0, 0));
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy);
    EXPECT_EQ(filter.counts().restarts, 1u);
    EXPECT_NEAR((filter.attitude() * Vector::UnitX() - Vector::UnitZ()).norm(), 0.0, 1e-9);
}

TEST(AttitudeFilter, RejectsWhatIsNotFinite) {
    AttitudeFilter filter(attitude_model());
    filter.update(Vector(0, 0, kGravity));
    filter.predict(kDt, Vector(0, kNan, 0));
    filter.predict(kNan, Vector::Zero());
    filter.update(Vector(0, 0, kNan));
    EXPECT_EQ(filter.counts().not_finite, 2u);
    EXPECT_TRUE(filter.attitude().coeffs().allFinite());
    EXPECT_TRUE(filter.covariance().allFinite());
}

TEST(AttitudeFilter, AQuarterTurnIsAQuarterTurn) {
    AttitudeFilter filter(attitude_model());
    filter.update(Vector(0, 0, kGravity));
    for (int i = 0; i < 1000; ++i) filter.predict(kDt, Vector(0, 0, std::numbers::pi / 2.0));
    const Vector forward = filter.attitude() * Vector::UnitX();
    EXPECT_NEAR((forward - Vector::UnitY()).norm(), 0.0, 1e-9);
}

// Yaw and its bias are never measured while the robot stands level.
TEST(AttitudeFilter, WhatIsNotMeasuredStaysFinite) {
    AttitudeFilter filter(attitude_model());
    for (int i = 0; i < 500'000; ++i) {
        filter.predict(0.05, Vector::Zero());
        filter.update(Vector(0, 0, kGravity));
    }
    const auto& p = filter.covariance();
    EXPECT_LE(p.diagonal().maxCoeff(), 3.3 + 1e-9);
    EXPECT_GT(p.diagonal().minCoeff(), 0.0);
    EXPECT_LT((p - p.transpose()).cwiseAbs().maxCoeff(), 1e-9);
    EXPECT_LT(tilt_between(filter.attitude(), Eigen::Quaterniond::Identity()), 1e-6);
}

TEST(AttitudeFilter, WaitsAgainAfterALongPause) {
    AttitudeFilter filter(attitude_model());
    filter.update(Vector(0, 0, kGravity));
    filter.predict(2.0 * kMaxPredictionS, Vector::Zero());
    EXPECT_EQ(filter.health(), EstimateHealth::kWaiting);
    filter.update(Vector(kGravity, 0, 0));
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    EXPECT_NEAR((filter.attitude() * Vector::UnitX() - Vector::UnitZ()).norm(), 0.0, 1e-9);
}

}  // namespace
}  // namespace holdfast::estimate
