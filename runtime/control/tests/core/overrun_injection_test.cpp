// Rule 7, rung by rung. The loop's own schedule decides what is skipped; the rig's clock is moved as if the
// work of one cycle had taken k periods too long.
#include <gtest/gtest.h>

#include "robot_rig.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;
using shm::Mode;

class ScheduledRig : public RobotRig {
  public:
    ScheduledRig() : start_ns_(rig_clock()), schedule_(config.tier1_period_ns(), start_ns_) {}
    // One cycle when it is due; its work then takes `work_ns`.
    Wake run(std::int64_t work_ns) {
        const Schedule::Due due = schedule_.next(rig_clock());
        rig_clock() = due.at_ns;
        const Wake wake{due.at_ns, due.at_ns, due.skipped};
        cycle(wake);
        rig_clock() += work_ns;
        return wake;
    }
    [[nodiscard]] std::int64_t start_ns() const { return start_ns_; }

  private:
    std::int64_t start_ns_;
    Schedule schedule_;
};

TEST(OverrunInjection, KPeriodsOfDelayGiveKSkipsInPhase) {
    for (std::uint64_t k = 1; k <= 40; ++k) {
        ScheduledRig rig;
        const std::int64_t period_ns = rig.config.tier1_period_ns();
        for (int i = 0; i < 5; ++i) ASSERT_EQ(rig.run(period_ns / 4).skipped, 0u);
        // Due to end within its own period, it ends within the k-th one after it.
        const Wake slow = rig.run(period_ns / 4 + static_cast<std::int64_t>(k) * period_ns);
        const Wake late = rig.run(period_ns / 4);
        EXPECT_EQ(late.skipped, k);
        EXPECT_EQ(late.scheduled_ns - slow.scheduled_ns, period_ns * static_cast<std::int64_t>(1 + k));
        const Wake next = rig.run(period_ns / 4);
        EXPECT_EQ(next.skipped, 0u) << "a burst to make up for what was missed";
        EXPECT_EQ(next.scheduled_ns, late.scheduled_ns + period_ns);
        EXPECT_EQ((next.scheduled_ns - rig.start_ns()) % period_ns, 0);
        EXPECT_EQ(rig.counter(Counter::kOverruns), 1u);
        EXPECT_EQ(rig.counter(Counter::kSkippedCycles), k);
        EXPECT_EQ(rig.state().cycle, 8u) << "a cycle for each wake, none for those that were skipped";
    }
}

// The second rung: the wish was meant for a moment that has passed.
TEST(OverrunHold, TheCycleAfterAnOverrunHoldsEachKindSafely) {
    RobotRig rig;
    rig.arm_fully();
    rig.wish(kJoint, 0.9);
    rig.wish(kSpindle, 10.0);
    rig.wish(kGripper, 1.5);
    rig.cycles(400);
    ASSERT_NEAR(rig.sent(kSpindle), 10.0, 1e-5);
    ASSERT_NEAR(rig.sent(kGripper), 1.5, 1e-5);
    rig.wish(kSpindle, 20.0);
    rig.publish_setpoint();
    rig.cycle(1);
    EXPECT_EQ(rig.mode(), Mode::kHolding);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0 - 2 * 0.04, 1e-4) << "a stale wish was followed";
    EXPECT_EQ(rig.sent(kGripper), 0.0) << "a stale wish was followed";
    rig.cycle();
    EXPECT_GT(rig.sent(kSpindle), 10.0 - 2 * 0.04) << "one overrun holds for longer than a cycle";
    EXPECT_GT(rig.sent(kGripper), 0.0);
}

TEST(OverrunHold, APositionChannelSlowsDownForThatCycle) {
    RobotRig rig;
    rig.arm_fully();
    rig.wish(kJoint, 0.9);
    rig.cycles(80);
    const auto& sent = rig.drives[kJoint].commands;
    const double speed = (sent.back() - sent[sent.size() - 2]) / 1e-3;
    ASSERT_GT(speed, 0.3);
    rig.cycle(1);
    EXPECT_NEAR((sent.back() - sent[sent.size() - 2]) / 2e-3, speed - 10.0 * 2e-3, 1e-3)
        << "not decelerated by max_accel over the two periods";
}

}  // namespace
}  // namespace holdfast::core
