// Everything at once, over random sequences: whatever is wished, measured and however late the loop is, each
// frame keeps every rule (DESIGN rule 5).
#include "whole_robot.hpp"

#include <random>

namespace holdfast {
namespace {

class WholeRobotSweep : public ::testing::TestWithParam<unsigned> {
  protected:
    std::mt19937_64 random_{GetParam()};

    double between(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    bool once_in(unsigned n) { return random_() % n == 0; }
    double any_wish(const Range& limits) {
        switch (random_() % 12) {
            case 0:
                return kNan;
            case 1:
                return kInf;
            case 2:
                return -1e300;
            case 3:
                return limits.max;
            case 4:
                return limits.min;
            default:
                return between(1.5 * limits.min, 1.5 * limits.max);
        }
    }
    double any_time() {
        switch (random_() % 40) {
            case 0:
                return 0.0;
            case 1:
                return -1.0;
            case 2:
                return kNan;
            case 3:
                return kInf;
            case 4:
                return between(0.0, 0.2);
            case 5:
                return 1e-9;
            default:
                return between(0.0005, 0.002);
        }
    }
    void disturb(WholeRobot& robot) {
        if (once_in(60)) {
            const std::size_t channel = random_() % kChannels;
            robot.wish[channel] = any_wish(robot.config.commands[channel].limits);
        }
        if (once_in(300)) robot.set = static_cast<std::uint32_t>(random_());
        if (once_in(100)) robot.set = 0xffffffff;
        for (StateSample& sample : robot.state) sample.fresh = !once_in(3000);
        StateSample& nearest = robot.state[kNearest];
        if (once_in(400)) nearest.value = between(0.3, 2.0);
        if (once_in(200)) nearest.value = 9.0;
        if (once_in(2000)) nearest.value = once_in(2) ? 0.0 : kNan;
        if (once_in(20) && robot.stands()) robot.shield.forget_positions();
    }
};

TEST_P(WholeRobotSweep, EveryFrameKeepsEveryRule) {
    WholeRobot robot;
    bool follow = true;
    for (int i = 0; i < 12'000; ++i) {
        disturb(robot);
        if (once_in(follow ? 800 : 100)) follow = !follow;
        (void)robot.frame(any_time(), follow);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels()) << "frame " << i;
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings()) << "frame " << i;
        ASSERT_NO_FATAL_FAILURE(robot.check_workspace()) << "frame " << i;
    }
    const ShieldCounts& counts = robot.shield.counts();
    EXPECT_GT(counts.coupling, 0u);
    EXPECT_GT(counts.workspace, 0u);
    EXPECT_GT(counts.zone_slow, 0u);
    EXPECT_GT(counts.zone_stop, 0u);
}

TEST_P(WholeRobotSweep, ASoundClockNeverBringsTheRulesIntoConflict) {
    WholeRobot robot;
    for (int i = 0; i < 8'000; ++i) {
        if (once_in(60)) {
            const std::size_t channel = random_() % kChannels;
            robot.wish[channel] = between(-2.0, 2.0);
        }
        (void)robot.frame(between(1e-6, 0.02));
    }
    EXPECT_EQ(robot.shield.counts().conflict, 0u);
}

// What was sent, differentiated: divided differences are values of the derivatives somewhere between.
TEST_P(WholeRobotSweep, TheThirdDerivativeOfWhatIsSentKeepsMaxJerk) {
    WholeRobot robot;
    std::array<std::array<double, 4>, kPositions> sent{};
    std::array<double, 4> at{};
    double time_s = 0.0;
    for (int i = 0; i < 6'000; ++i) {
        if (once_in(100)) {
            const std::size_t channel = random_() % kChannels;
            robot.wish[channel] = between(-1.5, 1.5);
        }
        const double dt_s = between(0.0008, 0.003);
        (void)robot.frame(dt_s, i % 1000 < 950);
        time_s += dt_s;
        std::rotate(at.begin(), at.begin() + 1, at.end());
        at[3] = time_s;
        for (std::size_t c = 0; c < kPositions; ++c) {
            auto& x = sent[c];
            std::rotate(x.begin(), x.begin() + 1, x.end());
            x[3] = robot.sent(c);
            if (i < 4) continue;
            const auto first = [&](std::size_t k) { return (x[k + 1] - x[k]) / (at[k + 1] - at[k]); };
            const auto second = [&](std::size_t k) {
                return 2.0 * (first(k + 1) - first(k)) / (at[k + 2] - at[k]);
            };
            const double third = 3.0 * (second(1) - second(0)) / (at[3] - at[0]);
            const CommandChannel& channel = robot.config.commands[c];
            ASSERT_LE(std::abs(first(2)), channel.max_rate + 1e-6) << channel.name;
            ASSERT_LE(std::abs(second(1)), channel.max_accel + 1e-3) << channel.name;
            ASSERT_LE(std::abs(third), *channel.max_jerk * (1.0 + 1e-3) + 0.5) << channel.name;
        }
    }
}

// Hazard: one wheel turns while it is not known yet how fast the other one does.
TEST(WholeRobotStart, ChannelsOfOneRuleWaitForTheOneWhoseSpeedIsAwaited) {
    WholeRobot robot;
    robot.wish.assign(robot.wish.size(), 0.0);
    robot.wish[kLeft] = robot.wish[kRight] = 1.0;
    robot.turning[kLeft] = {.awaited = true};
    (void)robot.frame(0.001);
    EXPECT_FALSE(robot.shield.has_value(kLeft));
    EXPECT_EQ(robot.sent(kRight), 0.0);
    robot.frames(10);
    EXPECT_GT(robot.sent(kLeft), 0.0);
    EXPECT_GT(robot.sent(kRight), 0.0);
    // After a pause as at the start.
    robot.turning[kLeft] = {.awaited = true};
    const double right = robot.sent(kRight);
    (void)robot.frame(2.0 * kMaxStepS);
    EXPECT_FALSE(robot.shield.has_value(kLeft));
    EXPECT_LE(robot.sent(kRight), right);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WholeRobotSweep, ::testing::Range(0u, 10u));

}  // namespace
}  // namespace holdfast
