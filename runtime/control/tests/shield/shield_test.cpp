// The rules of motion (DESIGN §2, rules 2 and 5), each by itself and then all of them over random sequences.
#include "shield/shield.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace holdfast {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kDt = 0.001;
constexpr double kRounding = 1e-9;

CommandChannel position_channel() {
    CommandChannel channel;
    channel.name = "elbow";
    channel.kind = ChannelKind::kPosition;
    channel.limits = {-2.0, 1.5};
    channel.max_rate = 2.0;
    channel.max_accel = 10.0;
    channel.position_state = 0;
    return channel;
}

CommandChannel velocity_channel() {
    CommandChannel channel;
    channel.name = "spindle";
    channel.kind = ChannelKind::kVelocity;
    channel.limits = {-3.0, 4.0};
    channel.max_accel = 8.0;
    return channel;
}

CommandChannel rail_channel() {
    CommandChannel channel = velocity_channel();
    channel.name = "rail";
    channel.position_state = 0;
    channel.position_limits = Range{-1.0, 1.0};
    return channel;
}

CommandChannel effort_channel() {
    CommandChannel channel;
    channel.name = "gripper";
    channel.kind = ChannelKind::kEffort;
    channel.limits = {-2.0, 2.0};
    channel.max_rate = 20.0;
    return channel;
}

ChannelContext at(double position) { return {.position = position, .position_fresh = true}; }
const ChannelContext kStale{.position = 0.3, .position_fresh = false};

// One channel with its memory; the joint follows perfectly.
struct Joint {
    CommandChannel channel;
    ChannelHistory history;
    ShieldCounts counts;
    double position{};

    double wish(double value, double dt_s = kDt) {
        return follow(shield_command(channel, value, at(position), dt_s, history, counts), dt_s);
    }
    double stop(double dt_s = kDt) {
        return follow(safe_command(channel, at(position), dt_s, history), dt_s);
    }

  private:
    double follow(double sent, double dt_s) {
        if (channel.kind == ChannelKind::kPosition) position = sent;
        if (channel.kind == ChannelKind::kVelocity) position += sent * dt_s;
        return sent;
    }
};

TEST(Shield, APositionStartsFromWhereItIs) {
    Joint joint{.channel = position_channel(), .history = {}, .counts = {}, .position = 0.7};
    EXPECT_NEAR(joint.wish(0.7), 0.7, kRounding);
    EXPECT_NEAR(joint.wish(-2.0), 0.7, 10.0 * kDt * kDt + kRounding);
}

TEST(Shield, AVelocityThatNobodyTellsAndAnEffortStartFromZero) {
    Joint spindle{.channel = velocity_channel(), .history = {}, .counts = {}};
    EXPECT_DOUBLE_EQ(spindle.wish(4.0), 8.0 * kDt);
    Joint gripper{.channel = effort_channel(), .history = {}, .counts = {}};
    EXPECT_DOUBLE_EQ(gripper.wish(2.0), 20.0 * kDt);
}

TEST(Shield, AWishInReachPassesUnchanged) {
    Joint spindle{.channel = velocity_channel(), .history = {}, .counts = {}};
    EXPECT_EQ(spindle.wish(0.005), 0.005);
    EXPECT_EQ(spindle.counts.rate_limited + spindle.counts.limited + spindle.counts.conflict, 0u);
}

TEST(Shield, WhatIsNotFiniteGivesTheSafeCommand) {
    for (const double bad : {kNan, kInf, -kInf}) {
        Joint spindle{.channel = velocity_channel(), .history = {.sent = 1.0, .started = true}, .counts = {}};
        EXPECT_DOUBLE_EQ(spindle.wish(bad), 1.0 - 8.0 * kDt);
        EXPECT_EQ(spindle.counts.not_finite, 1u);
        Joint gripper{.channel = effort_channel(), .history = {.sent = 1.0, .started = true}, .counts = {}};
        EXPECT_EQ(gripper.wish(bad), 0.0);
        Joint elbow{.channel = position_channel(),
                    .history = {.sent = 0.5, .started = true},
                    .counts = {},
                    .position = 0.5};
        EXPECT_EQ(elbow.wish(bad), 0.5);
    }
}

TEST(Shield, AWishOutsideTheLimitsEndsAtTheLimit) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}};
    for (int i = 0; i < 5000; ++i) (void)elbow.wish(9.0);
    EXPECT_EQ(elbow.history.sent, 1.5);
    EXPECT_EQ(elbow.history.velocity, 0.0);
    EXPECT_EQ(elbow.counts.limited, 5000u);
    EXPECT_EQ(elbow.counts.conflict, 0u);

    Joint spindle{.channel = velocity_channel(), .history = {}, .counts = {}};
    for (int i = 0; i < 5000; ++i) (void)spindle.wish(-9.0);
    EXPECT_EQ(spindle.history.sent, -3.0);
    Joint gripper{.channel = effort_channel(), .history = {}, .counts = {}};
    for (int i = 0; i < 5000; ++i) (void)gripper.wish(-9.0);
    EXPECT_EQ(gripper.history.sent, -2.0);
}

TEST(Shield, RatesAreLimitedPerSecondWithTheMeasuredTime) {
    for (const double dt_s : {0.0005, 0.001, 0.004, 0.05}) {
        Joint spindle{.channel = velocity_channel(), .history = {}, .counts = {}};
        EXPECT_DOUBLE_EQ(spindle.wish(4.0, dt_s), 8.0 * dt_s);
        EXPECT_EQ(spindle.counts.rate_limited, 1u);
        Joint gripper{.channel = effort_channel(), .history = {}, .counts = {}};
        EXPECT_DOUBLE_EQ(gripper.wish(2.0, dt_s), 20.0 * dt_s);
        EXPECT_EQ(gripper.counts.rate_limited, 1u);
        Joint elbow{.channel = position_channel(), .history = {}, .counts = {}};
        EXPECT_DOUBLE_EQ(elbow.wish(1.5, dt_s), 10.0 * dt_s * dt_s);
        EXPECT_EQ(elbow.counts.rate_limited, 1u);
    }
}

TEST(Shield, APositionMovesAtItsMaximumRateAndStopsAtTheWishWithoutPassingIt) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}, .position = -1.5};
    double fastest = 0.0;
    for (int i = 0; i < 4000; ++i) {
        EXPECT_LE(elbow.wish(1.0), 1.0);
        fastest = std::max(fastest, elbow.history.velocity);
    }
    EXPECT_DOUBLE_EQ(fastest, 2.0);
    EXPECT_EQ(elbow.history.sent, 1.0);
    EXPECT_EQ(elbow.history.velocity, 0.0);
}

TEST(Shield, OnlyWhatIsHeldBackIsCounted) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}, .position = 0.4};
    for (int i = 0; i < 10; ++i) (void)elbow.wish(0.4);
    EXPECT_EQ(elbow.counts.rate_limited, 0u);
    (void)elbow.wish(1.0);
    EXPECT_EQ(elbow.counts.rate_limited, 1u);
    EXPECT_EQ(elbow.counts.limited + elbow.counts.stopping_distance + elbow.counts.conflict, 0u);
}

TEST(Shield, AVelocityStopsBeforeThePositionLimits) {
    for (const double wish : {4.0, -3.0}) {
        Joint rail{.channel = rail_channel(), .history = {}, .counts = {}};
        for (int i = 0; i < 6000; ++i) {
            (void)rail.wish(wish);
            ASSERT_LE(std::abs(rail.position), 1.0);
        }
        EXPECT_GT(std::abs(rail.position), 0.99);
        EXPECT_NEAR(rail.history.sent, 0.0, 1e-6);
        EXPECT_GT(rail.counts.stopping_distance, 0u);
        EXPECT_EQ(rail.counts.conflict, 0u);
    }
}

TEST(Shield, BeyondAPositionLimitOnlyTheWayBackIsOpen) {
    Joint rail{.channel = rail_channel(), .history = {}, .counts = {}, .position = 1.2};
    EXPECT_EQ(rail.wish(4.0), 0.0);
    EXPECT_DOUBLE_EQ(rail.wish(-3.0), -8.0 * kDt);
}

TEST(Shield, TooLateToStopMeansDeceleratingAndCountingAConflict) {
    Joint rail{
        .channel = rail_channel(), .history = {.sent = 4.0, .started = true}, .counts = {}, .position = 0.9};
    EXPECT_DOUBLE_EQ(rail.wish(4.0), 4.0 - 8.0 * kDt);
    EXPECT_EQ(rail.counts.conflict, 1u);
    EXPECT_EQ(rail.counts.stopping_distance, 1u);

    Joint elbow{.channel = position_channel(),
                .history = {.sent = 1.4, .velocity = 2.0, .started = true},
                .counts = {},
                .position = 1.4};
    (void)elbow.wish(1.5);
    EXPECT_DOUBLE_EQ(elbow.history.velocity, 2.0 - 10.0 * kDt);
    EXPECT_EQ(elbow.counts.conflict, 1u);
    EXPECT_EQ(elbow.counts.stopping_distance, 1u);
}

TEST(Shield, TheLimitsHaveTheLastWord) {
    Joint elbow{.channel = position_channel(),
                .history = {.sent = 1.4999, .velocity = 2.0, .started = true},
                .counts = {},
                .position = 1.4999};
    EXPECT_EQ(elbow.wish(1.5), 1.5);
    EXPECT_EQ(elbow.counts.conflict, 2u);                          // the stopping distance, then the limit
    EXPECT_NEAR(elbow.history.velocity, 0.0001 / kDt, kRounding);  // what was sent, not what was meant
    Joint stopped = elbow;
    stopped.history = {.sent = 1.4999, .velocity = 2.0, .started = true};
    EXPECT_EQ(stopped.stop(), 1.5);
}

TEST(Shield, APositionOutsideItsLimitsIsLedBackWithoutAJump) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}, .position = 1.8};
    double last = 1.8;
    EXPECT_DOUBLE_EQ(elbow.wish(9.0), 1.8 - 10.0 * kDt * kDt);
    EXPECT_EQ(elbow.counts.conflict, 1u);
    for (int i = 0; i < 2000; ++i) {
        const double sent = elbow.wish(9.0);
        ASSERT_LE(sent, last);
        ASSERT_LE(last - sent, 2.0 * kDt + kRounding);
        last = sent;
    }
    EXPECT_EQ(last, 1.5);
}

TEST(Shield, AStalePositionWhereOneIsNeededGivesTheSafeCommand) {
    ShieldCounts counts;
    ChannelHistory moving{.sent = 0.5, .velocity = 1.0, .started = true};
    (void)shield_command(position_channel(), 1.5, kStale, kDt, moving, counts);
    EXPECT_DOUBLE_EQ(moving.velocity, 1.0 - 10.0 * kDt);
    ChannelHistory rail{.sent = 1.0, .started = true};
    EXPECT_DOUBLE_EQ(shield_command(rail_channel(), 4.0, kStale, kDt, rail, counts), 1.0 - 8.0 * kDt);
    ChannelHistory spindle{.sent = 1.0, .started = true};
    EXPECT_DOUBLE_EQ(shield_command(velocity_channel(), 4.0, kStale, kDt, spindle, counts), 1.0 + 8.0 * kDt);
}

TEST(Shield, APositionThatIsNotANumberIsStale) {
    ShieldCounts counts;
    ChannelHistory rail{.sent = 1.0, .started = true};
    EXPECT_DOUBLE_EQ(shield_command(rail_channel(), 4.0, at(kNan), kDt, rail, counts), 1.0 - 8.0 * kDt);
    ChannelHistory fresh;
    EXPECT_EQ(shield_command(position_channel(), 1.0, at(kNan), kDt, fresh, counts), 0.0);
    EXPECT_FALSE(fresh.started);
}

TEST(Shield, WithoutAnyMeasurementAPositionIsNotStarted) {
    ShieldCounts counts;
    ChannelHistory history;
    EXPECT_EQ(shield_command(position_channel(), 1.0, kStale, kDt, history, counts), kStale.position);
    EXPECT_EQ(safe_command(position_channel(), kStale, kDt, history), kStale.position);
    EXPECT_FALSE(history.started);
    EXPECT_NEAR(shield_command(position_channel(), 0.9, at(0.9), kDt, history, counts), 0.9, kRounding);
}

TEST(Shield, WithoutAUsableTimeItDecelerates) {
    for (const double dt_s : {0.0, -0.001, -kInf, kInf, kNan}) {
        Joint spindle{.channel = velocity_channel(), .history = {.sent = 2.0, .started = true}, .counts = {}};
        EXPECT_DOUBLE_EQ(spindle.wish(4.0, dt_s), 2.0 - 8.0 * kAssumedStepS);
        EXPECT_EQ(spindle.counts.conflict, 1u);
        Joint elbow{.channel = position_channel(),
                    .history = {.sent = 0.0, .velocity = 1.0, .started = true},
                    .counts = {}};
        (void)elbow.wish(1.0, dt_s);
        EXPECT_DOUBLE_EQ(elbow.history.velocity, 1.0 - 10.0 * kAssumedStepS);
    }
}

TEST(Shield, AfterALongPauseTheStepIsThatOfTheMaximumStep) {
    Joint spindle{.channel = velocity_channel(), .history = {}, .counts = {}};
    EXPECT_DOUBLE_EQ(spindle.wish(4.0, 3600.0), 8.0 * kMaxStepS);
    Joint elbow{.channel = position_channel(),
                .history = {.sent = 0.0, .velocity = 2.0, .started = true},
                .counts = {}};
    // What was sent has stood still meanwhile: it starts again from rest.
    EXPECT_LE(elbow.wish(1.5, 3600.0), 10.0 * kMaxStepS * kMaxStepS + kRounding);
    EXPECT_LE(elbow.history.velocity, 10.0 * kMaxStepS + kRounding);
}

// Hazard: the safety daemon has stopped the channels of a loop that stood still; going on from what it sent
// before would undo that.
TEST(Shield, AfterALongPauseAPositionStartsFromWhereItIs) {
    for (const bool follow : {true, false}) {
        Joint elbow{.channel = position_channel(),
                    .history = {.sent = 1.0, .velocity = 2.0, .started = true},
                    .counts = {},
                    .position = 0.3};
        const double sent = follow ? elbow.wish(0.3, 0.5) : elbow.stop(0.5);
        EXPECT_EQ(sent, 0.3);
        EXPECT_EQ(elbow.history.velocity, 0.0);
    }
    ChannelHistory unknown{.sent = 1.0, .velocity = 2.0, .started = true};
    (void)safe_command(position_channel(), kStale, 0.5, unknown);
    EXPECT_FALSE(unknown.started) << "1.0 was reached long ago, or never";
    EXPECT_EQ(safe_command(position_channel(), at(0.3), kDt, unknown), 0.3);
}

TEST(Shield, AVelocityStartsFromWhatIsMeasured) {
    for (const double turning : {2.0, -2.0}) {
        ChannelHistory history;
        const ChannelContext context{.velocity = {.measured = turning}};
        const double one_step_slower = std::copysign(2.0 - 8.0 * kDt, turning);
        EXPECT_DOUBLE_EQ(safe_command(velocity_channel(), context, kDt, history), one_step_slower);
        EXPECT_DOUBLE_EQ(safe_command(velocity_channel(), {}, kDt, history),
                         std::copysign(2.0 - 16.0 * kDt, turning))
            << "the measurement is for the start only";
    }
    ShieldCounts counts;
    ChannelHistory too_fast;
    EXPECT_EQ(shield_command(velocity_channel(), 4.0, {.velocity = {.measured = 9.0}}, kDt, too_fast, counts),
              4.0);
    ChannelHistory unknown;
    EXPECT_EQ(safe_command(velocity_channel(), {.velocity = {.measured = kNan}}, kDt, unknown), 0.0);
}

TEST(Shield, AVelocityThatIsAwaitedIsNotStarted) {
    ShieldCounts counts;
    ChannelHistory history;
    const ChannelContext awaited{.velocity = {.awaited = true}};
    for (int i = 0; i < 5; ++i) {
        (void)safe_command(velocity_channel(), awaited, kDt, history);
        EXPECT_FALSE(history.started);
        (void)shield_command(velocity_channel(), 4.0, awaited, kDt, history, counts);
        EXPECT_FALSE(history.started);
    }
    EXPECT_EQ(safe_command(velocity_channel(), {}, kDt, history), 0.0);
    EXPECT_TRUE(history.started) << "nothing is known, and nothing comes";
}

TEST(Shield, AfterALongPauseAVelocityIsTheSlowerOfSentAndMeasured) {
    const auto after_pause = [](double sent, AxisVelocity axis) {
        ChannelHistory history{.sent = sent, .started = true};
        const double next = safe_command(velocity_channel(), {.velocity = axis}, 0.11, history);
        return next == 0.0 ? 0.0 : next + std::copysign(8.0 * kMaxStepS, next);
    };
    EXPECT_DOUBLE_EQ(after_pause(4.0, {.measured = 1.0}), 1.0);
    EXPECT_DOUBLE_EQ(after_pause(1.0, {.measured = 4.0}), 1.0);
    EXPECT_DOUBLE_EQ(after_pause(-3.0, {.measured = -1.0}), -1.0);
    EXPECT_EQ(after_pause(-2.0, {.measured = 2.0}), 0.0);
    EXPECT_EQ(after_pause(2.0, {}), 0.0);

    ChannelHistory waiting{.sent = 2.0, .started = true};
    (void)safe_command(velocity_channel(), {.velocity = {.awaited = true}}, 0.11, waiting);
    EXPECT_FALSE(waiting.started);
    EXPECT_DOUBLE_EQ(safe_command(velocity_channel(), {.velocity = {.measured = 3.0}}, kDt, waiting),
                     2.0 - 8.0 * kDt)
        << "what was sent before the pause is not forgotten while it waits";
}

TEST(SafeCommand, VelocityGoesToZeroAlongItsDeceleration) {
    Joint spindle{.channel = velocity_channel(), .history = {.sent = -2.0, .started = true}, .counts = {}};
    EXPECT_DOUBLE_EQ(spindle.stop(), -2.0 + 8.0 * kDt);
    for (int i = 0; i < 250; ++i) (void)spindle.stop();
    EXPECT_EQ(spindle.history.sent, 0.0);
}

TEST(SafeCommand, EffortIsZeroAtOnce) {
    Joint gripper{.channel = effort_channel(), .history = {.sent = 2.0, .started = true}, .counts = {}};
    EXPECT_EQ(gripper.stop(), 0.0);
    EXPECT_EQ(gripper.history.sent, 0.0);
}

TEST(SafeCommand, APositionNeverStartedHoldsTheMeasuredPosition) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}, .position = 1.1};
    for (int i = 0; i < 100; ++i) EXPECT_EQ(elbow.stop(), 1.1);
}

TEST(SafeCommand, AMovingPositionDeceleratesBeforeItHolds) {
    Joint elbow{.channel = position_channel(),
                .history = {.sent = 0.0, .velocity = 2.0, .started = true},
                .counts = {}};
    double last = 0.0;
    for (int i = 1; i < 200; ++i) {
        const double sent = elbow.stop();
        ASSERT_NEAR(sent - last, (2.0 - 10.0 * kDt * i) * kDt, kRounding);
        last = sent;
    }
    (void)elbow.stop();
    EXPECT_NEAR(elbow.history.velocity, 0.0, kRounding);
    for (int i = 0; i < 2000; ++i) (void)elbow.stop();
    EXPECT_NEAR(elbow.history.sent, 0.2, 0.002);  // where it came to rest, not where the stop began
}

// Hazard: a joint that is blocked keeps being pushed if the target ahead of it is held.
TEST(SafeCommand, ABlockedJointIsHeldWhereItIs) {
    ChannelHistory history{.sent = 0.8, .started = true};
    for (int i = 0; i < 2000; ++i) (void)safe_command(position_channel(), at(0.5), kDt, history);
    EXPECT_EQ(history.sent, 0.5);
}

TEST(SafeCommand, AJointPushedBeyondItsLimitIsHeldAtTheLimit) {
    ChannelHistory history{.sent = 1.4, .started = true};
    for (int i = 0; i < 2000; ++i) (void)safe_command(position_channel(), at(1.6), kDt, history);
    EXPECT_EQ(history.sent, 1.5);
    EXPECT_EQ(history.velocity, 0.0);
}

// Hazard: a loaded joint sinks a little below its target; a target that follows it makes it sink for ever.
TEST(SafeCommand, TheHeldPositionDoesNotFollowTheMeasurement) {
    ChannelHistory history{.sent = 0.5, .started = true};
    for (int i = 0; i < 5000; ++i)
        (void)safe_command(position_channel(), at(history.sent - 0.01), kDt, history);
    EXPECT_NEAR(history.sent, 0.49, kRounding);
}

TEST(SafeCommand, AfterAHoldTheNextStopMeasuresAgain) {
    Joint elbow{.channel = position_channel(), .history = {}, .counts = {}, .position = 0.2};
    for (int i = 0; i < 10; ++i) (void)elbow.stop();
    for (int i = 0; i < 2000; ++i) (void)elbow.wish(1.0);
    for (int i = 0; i < 2000; ++i) (void)elbow.stop();
    EXPECT_NEAR(elbow.history.sent, 1.0, kRounding);
}

TEST(SafeCommand, WithAStalePositionItHoldsWhatWasSent) {
    ChannelHistory history{.sent = 0.8, .started = true};
    for (int i = 0; i < 100; ++i) EXPECT_EQ(safe_command(position_channel(), kStale, kDt, history), 0.8);
}

// Random wishes, times, stale samples and stops; every rule is checked on every frame.
class RandomSequences : public ::testing::TestWithParam<unsigned> {
  protected:
    std::mt19937_64 random{GetParam()};

    double between(double low, double high) {
        return std::uniform_real_distribution<double>(low, high)(random);
    }
    bool once_in(int n) { return std::uniform_int_distribution<int>(1, n)(random) == 1; }

    double any_wish(const Range& limits) {
        if (once_in(50)) return kNan;
        if (once_in(50)) return kInf;
        if (once_in(20)) return between(-1e300, 1e300);
        if (once_in(10)) return limits.max;
        if (once_in(10)) return limits.min;
        return between(2.0 * limits.min, 2.0 * limits.max);
    }
    double any_time() {
        if (once_in(40)) return between(0.0, 0.1);
        if (once_in(60)) return kNan;
        if (once_in(60)) return between(-1.0, 0.0);
        if (once_in(100)) return between(0.1, 100.0);
        if (once_in(100)) return 1e-9;
        return between(0.0005, 0.0015);
    }
    CommandChannel any_channel(CommandChannel channel) {
        channel.limits = {-between(0.01, 50.0), between(0.01, 50.0)};
        channel.max_rate = std::pow(10.0, between(-2.0, 3.0));
        channel.max_accel = std::pow(10.0, between(-2.0, 3.0));
        if (channel.position_limits)
            channel.position_limits = Range{-between(0.01, 50.0), between(0.01, 50.0)};
        return channel;
    }
    static double step_of(double dt_s) {
        return std::isfinite(dt_s) && dt_s > 0.0 ? std::min(dt_s, kMaxStepS) : kAssumedStepS;
    }
};

TEST_P(RandomSequences, EveryPositionFrameKeepsEveryRule) {
    Joint joint{.channel = any_channel(position_channel()), .history = {}, .counts = {}};
    const CommandChannel& channel = joint.channel;
    joint.position = between(channel.limits.min, channel.limits.max);
    double wish = joint.position;
    joint.history = {.sent = joint.position, .started = true};
    for (int i = 0; i < 20'000; ++i) {
        if (once_in(100)) wish = any_wish(channel.limits);
        const double dt_s = any_time();
        const double step = step_of(dt_s);
        const ChannelHistory before = joint.history;
        const double last_velocity = dt_s > kMaxStepS ? 0.0 : before.velocity;
        const double sent = once_in(200) ? joint.stop(dt_s) : joint.wish(wish, dt_s);
        ASSERT_TRUE(std::isfinite(sent));
        ASSERT_GE(sent, channel.limits.min);
        ASSERT_LE(sent, channel.limits.max);
        ASSERT_EQ(sent, joint.history.sent);
        const double moved = sent - before.sent;
        ASSERT_NEAR(moved, joint.history.velocity * step, kRounding);
        ASSERT_LE(std::abs(moved), channel.max_rate * step + kRounding);
        ASSERT_LE(std::abs(joint.history.velocity), channel.max_rate * (1 + kRounding));
        ASSERT_LE(std::abs(joint.history.velocity - last_velocity),
                  channel.max_accel * step * (1 + kRounding) + 1e-9)
            << "frame " << i;
    }
    // A time that is not known is a conflict by definition; no other may happen from a start within the
    // limits.
    EXPECT_LT(joint.counts.conflict, 20'000u / 10);
}

TEST_P(RandomSequences, ASoundClockNeverBringsAPositionIntoConflict) {
    Joint joint{.channel = any_channel(position_channel()), .history = {}, .counts = {}};
    double wish = 0.0;
    for (int i = 0; i < 20'000; ++i) {
        if (once_in(50)) wish = any_wish(joint.channel.limits);
        (void)joint.wish(wish, between(1e-9, 0.1));
    }
    EXPECT_EQ(joint.counts.conflict, 0u);
}

TEST_P(RandomSequences, EveryVelocityFrameKeepsEveryRule) {
    for (const CommandChannel& kind : {velocity_channel(), rail_channel()}) {
        Joint joint{.channel = any_channel(kind), .history = {}, .counts = {}};
        const CommandChannel& channel = joint.channel;
        double wish = 0.0;
        for (int i = 0; i < 20'000; ++i) {
            if (once_in(100)) wish = any_wish(channel.limits);
            const double dt_s = between(0.0005, 0.0015);
            const double before = joint.history.sent;
            const double sent = once_in(200) ? joint.stop(dt_s) : joint.wish(wish, dt_s);
            ASSERT_TRUE(std::isfinite(sent));
            ASSERT_GE(sent, channel.limits.min);
            ASSERT_LE(sent, channel.limits.max);
            ASSERT_LE(std::abs(sent - before), channel.max_accel * dt_s + kRounding);
            if (channel.position_limits) {
                ASSERT_GE(joint.position, channel.position_limits->min - kRounding);
                ASSERT_LE(joint.position, channel.position_limits->max + kRounding);
            }
        }
    }
}

TEST_P(RandomSequences, EveryEffortFrameKeepsEveryRule) {
    Joint joint{.channel = any_channel(effort_channel()), .history = {}, .counts = {}};
    for (int i = 0; i < 20'000; ++i) {
        const double dt_s = any_time();
        const double before = joint.history.sent;
        const double wish = any_wish(joint.channel.limits);
        const double sent = joint.wish(wish, dt_s);
        ASSERT_TRUE(std::isfinite(sent));
        ASSERT_GE(sent, joint.channel.limits.min);
        ASSERT_LE(sent, joint.channel.limits.max);
        if (!std::isfinite(wish) || !(dt_s > 0.0)) {
            ASSERT_EQ(sent, 0.0);
        } else {
            ASSERT_LE(std::abs(sent - before), joint.channel.max_rate * step_of(dt_s) + kRounding);
        }
    }
}

TEST_P(RandomSequences, FromAnyStateTheSafeCommandReachesStandstillAndStays) {
    for (const CommandChannel& kind :
         {position_channel(), velocity_channel(), rail_channel(), effort_channel()}) {
        for (int trial = 0; trial < 50; ++trial) {
            Joint joint{.channel = any_channel(kind), .history = {}, .counts = {}};
            const CommandChannel& channel = joint.channel;
            joint.position = between(channel.limits.min, channel.limits.max);
            joint.history.sent = between(channel.limits.min, channel.limits.max);
            if (channel.kind == ChannelKind::kPosition) {
                joint.history.velocity = between(-channel.max_rate, channel.max_rate);
            }
            joint.history.started = !once_in(5);
            // The time a stop takes at most: decelerate, then lead the target back to the joint.
            const double span = channel.limits.max - channel.limits.min;
            const double longest = 2.0 * channel.max_rate / channel.max_accel + span / channel.max_rate +
                                   2.0 * std::sqrt(span / channel.max_accel) + span / channel.max_accel;
            const double measured = joint.position;
            const int steps = static_cast<int>(longest / 0.05) + 1000;
            for (int i = 0; i < steps; ++i) (void)safe_command(channel, at(measured), 0.05, joint.history);
            const double rest = joint.history.sent;
            EXPECT_EQ(rest, channel.kind == ChannelKind::kPosition ? measured : 0.0);
            EXPECT_EQ(joint.history.velocity, 0.0);
            for (int i = 0; i < 100; ++i) {
                const double dt_s = any_time();
                if (dt_s > kMaxStepS) continue;  // it would start anew
                ASSERT_EQ(safe_command(channel, at(between(-9.0, 9.0)), dt_s, joint.history), rest);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomSequences, ::testing::Range(0u, 20u));

}  // namespace
}  // namespace holdfast
