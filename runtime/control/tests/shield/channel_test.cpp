// What one channel keeps between its frames, and the frames that the random sequences of shield_test cannot
// judge.
#include <random>

#include "whole_robot.hpp"

namespace holdfast {
namespace {

constexpr double kDt = 0.001;

CommandChannel elbow(std::optional<double> max_jerk = {}) {
    CommandChannel channel = position_channel("elbow", {-2.0, 1.5}, 2.0, 10.0, 0.0, 0);
    channel.max_jerk = max_jerk;
    return channel;
}
CommandChannel rail(std::optional<double> max_jerk = {}) {
    CommandChannel channel = other_channel("rail", ChannelKind::kVelocity, 4.0, 8.0);
    channel.max_jerk = max_jerk;
    channel.position_state = 0;
    channel.position_limits = Range{-1.0, 1.0};
    return channel;
}
CommandChannel gripper() { return other_channel("gripper", ChannelKind::kEffort, 2.0, 20.0); }

ChannelContext at(double position) { return {.position = position, .position_fresh = true}; }

TEST(ShieldCounts, EachIsAddedToItself) {
    ShieldCounts sum{1, 2, 3, 4, 5, 6, 7, 8, 9};
    sum += ShieldCounts{10, 20, 30, 40, 50, 60, 70, 80, 90};
    EXPECT_EQ(sum.not_finite, 11u);
    EXPECT_EQ(sum.limited, 22u);
    EXPECT_EQ(sum.rate_limited, 33u);
    EXPECT_EQ(sum.stopping_distance, 44u);
    EXPECT_EQ(sum.conflict, 55u);
    EXPECT_EQ(sum.coupling, 66u);
    EXPECT_EQ(sum.workspace, 77u);
    EXPECT_EQ(sum.zone_slow, 88u);
    EXPECT_EQ(sum.zone_stop, 99u);
}

TEST(Channel, AnEffortInReachIsNotCountedAsHeldBack) {
    ChannelHistory history;
    ShieldCounts counts;
    EXPECT_EQ(shield_command(gripper(), 0.02, {}, kDt, history, counts), 0.02);
    EXPECT_EQ(counts.rate_limited, 0u);
}

TEST(Channel, AnEffortNeedsNoPosition) {
    ChannelRules rules = rules_of(gripper());
    rules.position_limits = Range{-1.0, 1.0};
    EXPECT_FALSE(must_stop(rules, 1.0, {.position = 0.0, .position_fresh = false}, kDt));
}

TEST(Channel, ASpeedScaleSlowsAPositionDown) {
    ChannelRules rules = rules_of(elbow());
    rules.speed_scale = 0.25;
    ChannelHistory history;
    ShieldCounts counts;
    for (int i = 0; i < 500; ++i) (void)shield_command(rules, 1.5, at(-2.0), kDt, history, counts);
    EXPECT_DOUBLE_EQ(history.velocity, 0.5);
}

TEST(Channel, RoundingIsNoWayThatIsLeft) {
    ChannelHistory history{.sent = 0.5 - 1e-9, .started = true};
    ShieldCounts counts;
    EXPECT_EQ(shield_command(elbow(), 0.5, at(0.5), kDt, history, counts), 0.5);
    EXPECT_EQ(counts.rate_limited, 0u);
}

TEST(Channel, APositionEndsAtEachWishExactly) {
    std::mt19937_64 random(5);
    std::uniform_real_distribution<double> anywhere(-2.0, 1.5);
    std::uniform_real_distribution<double> time(0.0007, 0.0013);
    ChannelHistory history;
    ShieldCounts counts;
    for (int goal = 0; goal < 50; ++goal) {
        const double wish = anywhere(random);
        int arrived = 0;
        for (int i = 0; i < 5000 && arrived < 3; ++i) {
            const std::uint64_t before = counts.rate_limited;
            const double sent = shield_command(elbow(), wish, at(0.0), time(random), history, counts);
            arrived = sent == wish ? arrived + 1 : 0;
            EXPECT_TRUE(counts.rate_limited > before || sent == wish) << wish;
        }
        EXPECT_EQ(arrived, 3) << wish;
    }
}

// v*dt + v^2/(2a) is what is left before the limit, neither more nor less.
TEST(Channel, AVelocityUsesTheWholeStoppingDistance) {
    ChannelHistory history;
    ShieldCounts counts;
    double position = -0.9;
    int held = 0;
    for (int i = 0; i < 2000; ++i) {
        const std::uint64_t before = counts.stopping_distance;
        const double v = shield_command(rail(), 4.0, at(position), kDt, history, counts);
        if (counts.stopping_distance > before) {
            ++held;
            ASSERT_NEAR(v * kDt + v * v / (2.0 * 8.0), 1.0 - position, 1e-9);
        }
        position += v * kDt;
    }
    EXPECT_GT(held, 100);
    EXPECT_EQ(counts.conflict, 0u);
}

TEST(Channel, WithoutAJerkLimitNoAccelerationIsKept) {
    ShieldCounts counts;
    ChannelHistory sliding;
    (void)shield_command(rail(), 4.0, at(0.0), kDt, sliding, counts);
    EXPECT_EQ(sliding.acceleration, 0.0);
    sliding = {.sent = 2.0, .started = true};
    (void)safe_command(rail(), at(0.0), kDt, sliding);
    EXPECT_EQ(sliding.acceleration, 0.0);

    ChannelHistory moving{.sent = 0.0, .velocity = 1.0, .started = true};
    (void)safe_command(elbow(), at(0.0), kDt, moving);
    EXPECT_DOUBLE_EQ(moving.velocity, 1.0 - 10.0 * kDt);
    EXPECT_EQ(moving.acceleration, 0.0);
    ChannelHistory resting{.sent = 0.0, .started = true};
    (void)safe_command(elbow(), at(0.3), kDt, resting);
    EXPECT_GT(resting.velocity, 0.0);
    EXPECT_EQ(resting.acceleration, 0.0);
}

TEST(Channel, AStepOfTheMaximumLengthGoesOnWithTheMotion) {
    ChannelHistory history{.sent = 0.0, .velocity = 1.0, .started = true, .acceleration = 2.0};
    EXPECT_TRUE(prepare(rules_of(elbow()), at(0.0), kMaxStepS, history));
    EXPECT_EQ(history.velocity, 1.0);
    EXPECT_EQ(history.acceleration, 2.0);
}

TEST(Channel, APositionOutsideItsLimitsIsHeldWhereItIs) {
    for (const auto& channel : {elbow(), elbow(200.0)}) {
        ChannelHistory history;
        for (int i = 0; i < 50; ++i) ASSERT_EQ(safe_command(channel, at(1.8), kDt, history), 1.8);
    }
}

TEST(Channel, AStopIsNotOverWhileItsAccelerationLasts) {
    ChannelHistory history{.sent = 0.0, .velocity = 0.0, .started = true, .acceleration = 5.0};
    (void)safe_command(elbow(200.0), at(0.3), kDt, history);
    EXPECT_FALSE(history.holding);
}

TEST(Channel, AHeldPositionIsReachedWithinMaxJerk) {
    ChannelHistory history{.sent = 0.0, .started = true};
    double acceleration = 0.0;
    for (int i = 0; i < 3000; ++i) {
        const double before = history.velocity;
        (void)safe_command(elbow(200.0), at(0.3), kDt, history);
        const double now = (history.velocity - before) / kDt;
        ASSERT_LE(std::abs(now - acceleration), 200.0 * kDt + 1e-6);
        acceleration = now;
    }
    EXPECT_EQ(history.sent, 0.3);
    EXPECT_EQ(history.velocity, 0.0);
    EXPECT_EQ(history.acceleration, 0.0);
}

TEST(Followed, WithoutATimeNothingIsKnownButTheValue) {
    for (const double dt_s : {0.0, -0.5}) {
        const ChannelHistory now = followed(elbow(200.0), {.sent = 0.1, .started = true}, 0.2, dt_s);
        EXPECT_EQ(now.sent, 0.2);
        EXPECT_TRUE(now.started);
        EXPECT_EQ(now.velocity, 0.0);
        EXPECT_EQ(now.acceleration, 0.0);
    }
}

TEST(Followed, APositionHasTheRateAndTheAccelerationOfItsFrames) {
    const ChannelHistory last{.sent = 0.5, .velocity = 1.0, .started = true};
    EXPECT_NEAR(followed(elbow(200.0), last, 0.5105, 0.01).velocity, 1.05, 1e-9);
    EXPECT_NEAR(followed(elbow(200.0), last, 0.5105, 0.01).acceleration, 5.0, 1e-6);
    EXPECT_NEAR(followed(elbow(200.0), last, 0.5095, 0.01).acceleration, -5.0, 1e-6);
    EXPECT_EQ(followed(elbow(200.0), last, 0.7, 0.01).velocity, 2.0);
    EXPECT_EQ(followed(elbow(200.0), last, 0.7, 0.01).acceleration, 10.0);
    EXPECT_EQ(followed(elbow(200.0), last, 0.3, 0.01).velocity, -2.0);
    EXPECT_EQ(followed(elbow(200.0), last, 0.3, 0.01).acceleration, -10.0);
    EXPECT_EQ(followed(elbow(), last, 0.5105, 0.01).acceleration, 0.0);
}

TEST(Followed, AVelocityHasTheAccelerationOfItsFramesAndNoRate) {
    const ChannelHistory last{.sent = 1.0, .started = true};
    const ChannelHistory now = followed(rail(100.0), last, 1.05, 0.01);
    EXPECT_EQ(now.velocity, 0.0);
    EXPECT_NEAR(now.acceleration, 5.0, 1e-9);
    EXPECT_EQ(followed(gripper(), last, 1.05, 0.01).velocity, 0.0);
}

}  // namespace
}  // namespace holdfast
