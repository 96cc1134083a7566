// max_jerk, together with rate, acceleration and stopping distance.
#include <random>

#include "whole_robot.hpp"

namespace holdfast {
namespace {

CommandChannel elbow() { return position_channel("elbow", {-2.0, 1.5}, 2.0, 10.0, 200.0, 0); }

CommandChannel rail() {
    CommandChannel channel = other_channel("rail", ChannelKind::kVelocity, 3.0, 8.0);
    channel.max_jerk = 100.0;
    channel.position_state = 0;
    channel.position_limits = Range{-1.0, 1.0};
    return channel;
}

ChannelContext at(double position) { return {position, true}; }

// Of one frame to the next.
void expect_jerk_kept(const CommandChannel& channel, const ChannelHistory& before, const ChannelHistory& now,
                      double step_s) {
    ASSERT_LE(std::abs(now.acceleration), channel.max_accel + 1e-6);
    ASSERT_LE(std::abs(now.acceleration - before.acceleration), *channel.max_jerk * step_s + 1e-3);
}

TEST(Jerk, AnAccelerationBeginsNoFasterThanMaxJerk) {
    ChannelHistory history;
    ShieldCounts counts;
    (void)shield_command(elbow(), 1.0, at(0.0), 0.001, history, counts);
    EXPECT_NEAR(history.acceleration, 0.2, 1e-9);
    EXPECT_NEAR(history.sent, 200.0 * 1e-9 / 6.0, 1e-12);
    ChannelHistory turning;
    (void)shield_command(rail(), 3.0, at(0.0), 0.001, turning, counts);
    EXPECT_NEAR(turning.acceleration, 0.1, 1e-9);
    EXPECT_NEAR(turning.sent, 100.0 * 1e-6 / 2.0, 1e-12);
}

TEST(Jerk, APositionArrivesWithoutPassingItsWishAndRests) {
    ChannelHistory history;
    ShieldCounts counts;
    double fastest = 0.0;
    for (int i = 0; i < 5000; ++i) {
        const ChannelHistory before = history;
        ASSERT_LE(shield_command(elbow(), 1.5, at(-2.0), 0.001, history, counts), 1.5);
        if (before.started) expect_jerk_kept(elbow(), before, history, 0.001);
        fastest = std::max(fastest, history.velocity);
    }
    EXPECT_NEAR(fastest, 2.0, 1e-9);
    EXPECT_EQ(history.sent, 1.5);
    EXPECT_EQ(history.velocity, 0.0);
    EXPECT_EQ(history.acceleration, 0.0);
    EXPECT_EQ(counts.conflict, 0u);
}

// Real-time loops are late; what was foretold must not change with that.
TEST(Jerk, EveryLimitHoldsWhateverTheWishesAndTheTimesAre) {
    for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
        std::mt19937_64 random(seed);
        const auto between = [&](double low, double high) {
            return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
        };
        const CommandChannel channel = elbow();
        ChannelHistory history;
        ShieldCounts counts;
        double wish = 0.0;
        for (int i = 0; i < 20'000; ++i) {
            if (random() % 40 == 0) wish = between(-4.0, 4.0);
            const double dt_s = random() % 50 == 0 ? between(0.0, 0.1) : between(0.0005, 0.0015);
            const ChannelHistory before = history;
            const ChannelContext context{history.sent, random() % 300 != 0};
            const double sent = random() % 500 == 0
                                    ? safe_command(channel, context, dt_s, history)
                                    : shield_command(channel, wish, context, dt_s, history, counts);
            ASSERT_GE(sent, channel.limits.min);
            ASSERT_LE(sent, channel.limits.max);
            if (!before.started) continue;
            ASSERT_LE(std::abs(history.velocity), channel.max_rate + 1e-9);
            ASSERT_LE(std::abs(sent - before.sent), channel.max_rate * dt_s + 1e-9);
            ASSERT_LE(std::abs(history.velocity - before.velocity), channel.max_accel * dt_s + 1e-8);
            expect_jerk_kept(channel, before, history, dt_s);
        }
        EXPECT_EQ(counts.conflict, 0u);
    }
}

TEST(Jerk, AVelocityStopsBeforeThePositionLimits) {
    for (const double wish : {3.0, -3.0}) {
        ChannelHistory history;
        ShieldCounts counts;
        double position = 0.0;
        for (int i = 0; i < 4000; ++i) {
            const ChannelHistory before = history;
            position += shield_command(rail(), wish, at(position), 0.001, history, counts) * 0.001;
            ASSERT_LE(std::abs(position), 1.0 + 1e-9);
            if (before.started) expect_jerk_kept(rail(), before, history, 0.001);
        }
        EXPECT_GT(std::abs(position), 0.99);
        EXPECT_NEAR(history.sent, 0.0, 1e-3);
        EXPECT_GT(counts.stopping_distance, 0u);
        EXPECT_EQ(counts.conflict, 0u);
    }
}

TEST(Jerk, BeyondAPositionLimitOnlyTheWayBackIsOpen) {
    ShieldCounts counts;
    ChannelHistory out;
    EXPECT_EQ(shield_command(rail(), 3.0, at(1.2), 0.001, out, counts), 0.0);
    ChannelHistory back;
    EXPECT_LT(shield_command(rail(), -3.0, at(1.2), 0.001, back, counts), 0.0);
}

TEST(Jerk, StopsKeepIt) {
    ChannelHistory history{.sent = 0.0, .velocity = 2.0, .started = true};
    const double end = stopping_point({0.0, 2.0, 0.0}, {10.0, 200.0});
    for (int i = 0; i < 2000; ++i) {
        const ChannelHistory before = history;
        (void)safe_command(elbow(), at(end), 0.001, history);
        expect_jerk_kept(elbow(), before, history, 0.001);
    }
    EXPECT_NEAR(history.sent, end, 1e-9);
    ChannelHistory turning{.sent = 3.0, .started = true};
    for (int i = 0; i < 2000; ++i) {
        const ChannelHistory before = turning;
        ASSERT_GE(safe_command(rail(), at(-0.9), 0.001, turning), -1e-12);
        expect_jerk_kept(rail(), before, turning, 0.001);
    }
    EXPECT_EQ(turning.sent, 0.0);
}

// Hazard: a soft stop that ends behind the end stop of the axis.
TEST(Jerk, AStopThatWouldEndOutsideThePositionLimitsGivesItUp) {
    ChannelHistory history{.sent = 1.28, .velocity = 2.0, .started = true};
    (void)safe_command(elbow(), at(1.28), 0.001, history);
    EXPECT_NEAR(history.velocity, 2.0 - 10.0 * 0.001, 1e-9);
    for (int i = 0; i < 1000; ++i) ASSERT_LE(safe_command(elbow(), at(1.5), 0.001, history), 1.5);
    ChannelHistory turning{.sent = 3.0, .started = true};
    EXPECT_NEAR(safe_command(rail(), at(0.5), 0.001, turning), 3.0 - 8.0 * 0.001, 1e-9);
}

TEST(Jerk, TooLateToStopSoftlyIsAConflict) {
    ShieldCounts counts;
    ChannelHistory history{.sent = 1.28, .velocity = 2.0, .started = true};
    (void)shield_command(elbow(), 1.5, at(1.28), 0.001, history, counts);
    EXPECT_NEAR(history.velocity, 2.0 - 10.0 * 0.001, 1e-9);
    EXPECT_EQ(counts.conflict, 1u);
    EXPECT_EQ(counts.stopping_distance, 1u);
    ChannelHistory turning{.sent = 3.0, .started = true};
    (void)shield_command(rail(), 3.0, at(0.5), 0.001, turning, counts);
    EXPECT_NEAR(turning.sent, 3.0 - 8.0 * 0.001, 1e-9);
    EXPECT_EQ(counts.conflict, 2u);
}

// Boundary sweep (TESTS 2): close to each limit and across the range, the wish is reached, and never passed.
TEST(Jerk, WishesAroundTheLimitsEndAtThemOrAtTheWish) {
    std::vector<double> wishes;
    for (const double limit : {elbow().limits.min, elbow().limits.max}) {
        for (int step = -5; step <= 5; ++step) wishes.push_back(limit + step * 1e-6);
    }
    for (int i = 0; i <= 100; ++i) wishes.push_back(-2.0 + 3.5 * i / 100.0);
    for (const double wish : wishes) {
        ChannelHistory history;
        ShieldCounts counts;
        const double reachable = std::clamp(wish, elbow().limits.min, elbow().limits.max);
        for (int i = 0; i < 800; ++i) {
            const double sent = shield_command(elbow(), wish, at(0.0), 0.004, history, counts);
            ASSERT_LE(sent, elbow().limits.max);
            ASSERT_GE(sent, elbow().limits.min);
        }
        ASSERT_EQ(history.sent, reachable);
        ASSERT_EQ(counts.limited, wish == reachable ? 0u : 800u);
    }
}

// The safety daemon takes over in the middle of a motion: it knows only what was sent.
TEST(Jerk, WhatIsFollowedIsStoppedSoftlyToo) {
    ChannelHistory sender;
    ChannelHistory follower;
    ShieldCounts counts;
    for (int i = 0; i < 150; ++i) {
        const double sent = shield_command(elbow(), 1.5, at(0.0), 0.001, sender, counts);
        follower = followed(elbow(), follower, sent, follower.started ? 0.001 : 0.0);
    }
    EXPECT_NEAR(follower.velocity, sender.velocity, 0.01);
    EXPECT_NEAR(follower.acceleration, sender.acceleration, 0.5);
    const double before = follower.acceleration;
    (void)safe_command(elbow(), at(sender.sent), 0.001, follower);
    EXPECT_NEAR(follower.acceleration, before, 200.0 * 0.001 + 1e-9);
}

}  // namespace
}  // namespace holdfast
