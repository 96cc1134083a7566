// What a joint's estimate does with good, bad and missing measurements. Its numbers are compared with another
// implementation in runtime/tests/test_estimate.py.
#include "estimate/joint_filter.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "models.hpp"

namespace holdfast::estimate {
namespace {

constexpr double kDt = 1e-3;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A sine of 0.5 rad at 0.5 Hz: within the rates of the model.
struct Motion {
    static constexpr double kOmega = 3.14159;
    [[nodiscard]] static double position(double t_s) { return 0.5 * std::sin(kOmega * t_s); }
    [[nodiscard]] static double velocity(double t_s) { return 0.5 * kOmega * std::cos(kOmega * t_s); }
    [[nodiscard]] static double acceleration(double t_s) { return -kOmega * kOmega * position(t_s); }
};

// A filter that has followed one point for a while.
JointFilter settled(const JointModel& model = joint_model()) {
    JointFilter filter(model);
    for (int i = 0; i < 200; ++i) {
        filter.predict(kDt);
        filter.update({.position = 0.3, .velocity = {}});
    }
    return filter;
}

TEST(JointFilter, FollowsAMotionThroughNoise) {
    JointFilter filter(joint_model());
    std::mt19937_64 random(1);
    std::normal_distribution<double> noise(0.0, 2e-4);
    double squares = 0.0;
    for (int i = 1; i <= 4000; ++i) {
        const double t_s = kDt * i;
        filter.predict(kDt);
        filter.update({.position = Motion::position(t_s) + noise(random), .velocity = {}});
        if (i <= 200) continue;
        EXPECT_NEAR(filter.state()[0], Motion::position(t_s), 1e-3);
        EXPECT_NEAR(filter.state()[1], Motion::velocity(t_s), 0.25);
        squares += std::pow(filter.state()[0] - Motion::position(t_s), 2);
    }
    EXPECT_LT(std::sqrt(squares / 3800.0), 1.8e-4) << "no better than the encoder alone";
    EXPECT_EQ(filter.counts().rejected, 0u);
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
}

TEST(JointFilter, UsesTheTimeThatWasMeasured) {
    JointFilter filter(joint_model());
    double t_s = 0.0;
    for (int i = 0; i < 2000; ++i) {
        const double dt_s = i % 3 == 0 ? 3e-3 : 0.5e-3;
        t_s += dt_s;
        filter.predict(dt_s);
        filter.update({.position = Motion::position(t_s), .velocity = {}});
    }
    EXPECT_NEAR(filter.state()[1], Motion::velocity(t_s), 0.02);
    EXPECT_NEAR(filter.state()[2], Motion::acceleration(t_s), 0.5);
}

TEST(JointFilter, StartsFromTheFirstPosition) {
    JointFilter filter(joint_model());
    EXPECT_EQ(filter.health(), EstimateHealth::kWaiting);
    filter.predict(kDt);
    filter.update({.position = {}, .velocity = 1.0});
    EXPECT_EQ(filter.health(), EstimateHealth::kWaiting);
    filter.update({.position = 0.7, .velocity = 1.0});
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    EXPECT_EQ(filter.state()[0], 0.7);
    EXPECT_EQ(filter.state()[1], 1.0);
}

TEST(JointFilter, ASingleOutlierChangesNothingAndIsCounted) {
    JointFilter hit = settled();
    JointFilter spared = settled();
    hit.predict(kDt);
    spared.predict(kDt);
    hit.update({.position = 0.8, .velocity = {}});
    EXPECT_EQ(hit.state(), spared.state());
    EXPECT_EQ(hit.covariance(), spared.covariance());
    EXPECT_EQ(hit.counts().rejected, 1u);
    EXPECT_EQ(hit.health(), EstimateHealth::kHealthy);
    EXPECT_GT(hit.mean_innovation(), spared.mean_innovation());
}

// The gate itself: just inside is used, just outside is not.
TEST(JointFilter, TheGateIsWhereTheInnovationVarianceSays) {
    JointFilter filter = settled();
    filter.predict(kDt);
    const double variance = filter.covariance()(0, 0) + std::pow(joint_model().position_std, 2);
    const double edge = std::sqrt(joint_model().trust.gate * variance);
    JointFilter outside = filter;
    filter.update({.position = filter.state()[0] + 0.999 * edge, .velocity = {}});
    EXPECT_EQ(filter.counts().rejected, 0u);
    outside.update({.position = outside.state()[0] - 1.001 * edge, .velocity = {}});
    EXPECT_EQ(outside.counts().rejected, 1u);
}

TEST(JointFilter, AGoodPositionIsUsedBesideABadVelocity) {
    JointFilter filter = settled();
    filter.predict(kDt);
    const double before = filter.covariance()(0, 0);
    filter.update({.position = 0.3, .velocity = 50.0});
    EXPECT_EQ(filter.counts().rejected, 1u);
    EXPECT_LT(filter.covariance()(0, 0), before);
    EXPECT_NEAR(filter.state()[1], 0.0, 0.05);
}

TEST(JointFilter, TooManyInARowStartItAfreshAndAreNotTrusted) {
    JointFilter filter = settled();
    const std::uint32_t limit = joint_model().trust.max_rejections;
    for (std::uint32_t i = 1; i <= limit; ++i) {
        EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
        filter.predict(kDt);
        filter.update({.position = -0.9, .velocity = {}});
    }
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy);
    EXPECT_EQ(filter.counts().rejected, limit);
    EXPECT_EQ(filter.counts().restarts, 1u);
    EXPECT_EQ(filter.state()[0], -0.9) << "the old estimate is trusted for ever";
}

TEST(JointFilter, IsHealthyAgainAfterAsManyGoodOnesInARow) {
    JointFilter filter = settled();
    for (int i = 0; i < 10; ++i) {
        filter.predict(kDt);
        filter.update({.position = -0.9, .velocity = {}});
    }
    for (int i = 0; i < 49; ++i) {
        filter.predict(kDt);
        filter.update({.position = -0.9, .velocity = {}});
        ASSERT_EQ(filter.health(), EstimateHealth::kUnhealthy) << i;
    }
    filter.predict(kDt);
    filter.update({.position = 0.4, .velocity = {}});  // one more that does not fit: counted anew
    for (int i = 0; i < 49; ++i) {
        filter.predict(kDt);
        filter.update({.position = -0.9, .velocity = {}});
        ASSERT_EQ(filter.health(), EstimateHealth::kUnhealthy) << i;
    }
    filter.predict(kDt);
    filter.update({.position = -0.9, .velocity = {}});
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
}

TEST(JointFilter, RejectionsThatAreNotInARowDoNotAddUp) {
    JointFilter filter = settled();
    for (int i = 0; i < 100; ++i) {
        filter.predict(kDt);
        filter.update({.position = i % 5 == 0 ? 0.3 : 0.9, .velocity = {}});
    }
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    EXPECT_EQ(filter.counts().rejected, 80u);
    EXPECT_NEAR(filter.state()[0], 0.3, 1e-3);
}

class NotFinite : public testing::TestWithParam<double> {};
TEST_P(NotFinite, IsRejectedAndCounted) {
    JointFilter filter = settled();
    filter.update({.position = GetParam(), .velocity = {}});
    filter.update({.position = 0.3, .velocity = GetParam()});
    filter.predict(GetParam());
    EXPECT_TRUE(filter.state().allFinite());
    EXPECT_TRUE(filter.covariance().allFinite());
    EXPECT_EQ(filter.counts().not_finite, 2u);
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    for (int i = 0; i < 10; ++i) filter.update({.position = GetParam(), .velocity = {}});
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy) << "a sensor that gives nothing else is trusted";
    filter.update({.position = 0.3, .velocity = {}});
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy);
    EXPECT_EQ(filter.state()[0], 0.3);
}
INSTANTIATE_TEST_SUITE_P(JointFilter, NotFinite, testing::Values(kNan, kInfinity, -kInfinity));

TEST(JointFilter, TimeThatStandsOrGoesBackChangesNothing) {
    JointFilter filter = settled();
    const auto before = filter.covariance();
    filter.predict(0.0);
    filter.predict(-1.0);
    EXPECT_EQ(filter.covariance(), before);
}

TEST(JointFilter, AfterALongPauseItStartsFromTheNextSample) {
    JointFilter filter = settled();
    filter.predict(2.0 * kMaxPredictionS);
    EXPECT_EQ(filter.health(), EstimateHealth::kWaiting);
    filter.update({.position = -0.9, .velocity = {}});
    EXPECT_EQ(filter.health(), EstimateHealth::kHealthy);
    EXPECT_EQ(filter.state()[0], -0.9);
    EXPECT_EQ(filter.counts().rejected, 0u);
}

// Silence does not mend a failed estimate.
TEST(JointFilter, StarvingDoesNotRestoreTrust) {
    JointFilter filter = settled();
    for (int i = 0; i < 10; ++i) filter.update({.position = -0.9, .velocity = {}});
    filter.starve();
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy);
    filter.update({.position = -0.9, .velocity = {}});
    EXPECT_EQ(filter.health(), EstimateHealth::kUnhealthy);
}

TEST(JointFilter, WithoutAPositionTheRestStaysBounded) {
    JointModel model = joint_model();
    model.measures_position = false;
    JointFilter filter(model);
    for (int i = 1; i <= 100'000; ++i) {
        filter.predict(kDt);
        filter.update({.position = {}, .velocity = Motion::velocity(kDt * i)});
    }
    EXPECT_NEAR(filter.state()[1], Motion::velocity(100.0), 0.01);
    EXPECT_NEAR(filter.state()[2], Motion::acceleration(100.0), 0.5);
    EXPECT_LT(filter.covariance()(0, 0), 1.0);
    EXPECT_EQ(filter.counts().rejected, 0u);
}

// In motion, a sample taken a little earlier or later is a sample of another place.
TEST(JointFilter, KnowsThatTheMomentOfASampleIsUncertain) {
    JointModel model = joint_model();
    const auto late = [&model] {
        JointFilter filter(model);
        for (int i = 1; i <= 500; ++i) {
            filter.predict(kDt);
            filter.update({.position = 2.0 * kDt * i, .velocity = {}});
        }
        filter.predict(kDt);
        filter.update({.position = 2.0 * kDt * 499, .velocity = {}});
        return filter.counts().rejected;
    };
    EXPECT_EQ(late(), 1u);
    model.timing_std_s = 1e-3;
    EXPECT_EQ(late(), 0u);
}

TEST(JointFilter, StaysPositiveForMillionsOfSteps) {
    JointFilter filter(joint_model());
    std::mt19937_64 random(7);
    std::normal_distribution<double> noise(0.0, 2e-4);
    for (int i = 0; i < 1'000'000; ++i) {
        filter.predict(i % 7 == 0 ? 2e-3 : 1e-3);
        filter.update({.position = noise(random), .velocity = 50.0 * noise(random)});
    }
    const auto& p = filter.covariance();
    EXPECT_GT(p.determinant(), 0.0);
    EXPECT_GT(p(0, 0), 0.0);
    EXPECT_LT((p - p.transpose()).cwiseAbs().maxCoeff(), 1e-12 * p.cwiseAbs().maxCoeff());
    EXPECT_EQ(filter.counts().restarts, 0u);
}

}  // namespace
}  // namespace holdfast::estimate
