// The rules of the safety kernel for wires, drives, overruns and health, each by an example. Sweeps around
// their limits are in kernel_limits_test.cpp.
#include <gtest/gtest.h>

#include "safety/kernel.hpp"
#include "safety/kernel_driver.hpp"

namespace holdfast::safety {
namespace {

constexpr int kDiscrepancyPeriods = 20;

KernelDriver with_lines() {
    KernelDriver kernel;
    kernel.config.estop_lines = true;
    kernel.config.estop_discrepancy_ns = kDiscrepancyPeriods * KernelDriver::kPeriodNs;
    return kernel;
}

Inputs contacts(bool first_open, bool second_open) {
    Inputs in = KernelDriver::alive();
    in.estop.open = {first_open, second_open};
    return in;
}

Inputs with_reset(Inputs in) {
    in.reset = true;
    return in;
}

// A stop for `cause` that stands under `present`: the reset is refused as long as it does, and granted after.
void expect_latched_while_present(KernelDriver& kernel, const Inputs& present, const Inputs& absent,
                                  StopCause cause) {
    Outputs out = kernel.step(with_reset(present));
    EXPECT_EQ(out.latch_sequence, 1u);
    EXPECT_EQ(out.cause, cause);
    EXPECT_EQ(out.standing, cause);
    EXPECT_TRUE(out.reset_refused);
    EXPECT_FALSE(out.reset_granted);
    EXPECT_FALSE(out.arm_permitted);
    out = kernel.step(absent);
    EXPECT_EQ(out.latch_sequence, 1u) << "it clears by a reset only";
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_TRUE(kernel.step(with_reset(absent)).reset_granted);
}

TEST(EstopLines, EitherContactStopsAtOnce) {
    for (const auto& [first, second] : {std::pair{true, false}, {false, true}, {true, true}}) {
        KernelDriver kernel = with_lines();
        kernel.step(kernel.armed());
        const Outputs out = kernel.step(contacts(first, second));
        EXPECT_TRUE(out.newly_latched);
        EXPECT_EQ(out.cause, StopCause::kEstopLine);
        kernel.step(contacts(true, true));
        expect_latched_while_present(kernel, contacts(true, true), contacts(false, false),
                                     StopCause::kEstopLine);
    }
}

TEST(EstopLines, ARobotWithoutThemLooksAtNone) {
    KernelDriver kernel;
    Inputs in = contacts(true, false);
    in.estop.readable = false;
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(kernel.step(in).standing, StopCause::kNone);
}

TEST(EstopLines, ALineThatCannotBeReadIsAStop) {
    KernelDriver kernel = with_lines();
    Inputs in = kernel.alive();
    in.estop.readable = false;
    expect_latched_while_present(kernel, in, kernel.alive(), StopCause::kEstopLineUnreadable);
}

TEST(EstopLines, ContactsThatDisagreeForTooLongAreABrokenOne) {
    KernelDriver kernel = with_lines();
    for (int i = 1; i <= kDiscrepancyPeriods; ++i) {
        const Outputs out = kernel.step(contacts(true, false));
        EXPECT_EQ(out.standing,
                  i < kDiscrepancyPeriods ? StopCause::kEstopLine : StopCause::kEstopDiscrepancy);
        EXPECT_EQ(out.cause, out.standing) << "the record names the broken contact";
        EXPECT_EQ(out.latch_sequence, 1u) << "it is still the same stop";
    }
}

TEST(EstopLines, ABrokenContactIsForgottenOnlyOnceBothHaveOpened) {
    KernelDriver kernel = with_lines();
    for (int i = 0; i < kDiscrepancyPeriods; ++i) kernel.step(contacts(false, true));
    Outputs out = kernel.step(with_reset(contacts(false, false)));
    EXPECT_EQ(out.standing, StopCause::kEstopDiscrepancy) << "agreeing on closed proves nothing";
    EXPECT_TRUE(out.reset_refused);
    out = kernel.step(with_reset(contacts(true, true)));
    EXPECT_EQ(out.standing, StopCause::kEstopLine);
    EXPECT_TRUE(out.reset_refused);
    EXPECT_TRUE(kernel.step(with_reset(contacts(false, false))).reset_granted);
}

TEST(EstopLines, ABrokenContactOutlivesTheDaemon) {
    KernelDriver kernel = with_lines();
    kernel.state.latch_sequence = kernel.state.last_sequence = 4;
    kernel.state.cause = StopCause::kEstopDiscrepancy;
    kernel.state.estop.fault = true;  // as daemon.cpp restores it from that cause
    EXPECT_TRUE(kernel.step(with_reset(contacts(false, false))).reset_refused);
}

TEST(EstopLines, AShortDisagreementIsNone) {
    KernelDriver kernel = with_lines();
    for (int press = 0; press < 3; ++press) {
        for (int i = 1; i < kDiscrepancyPeriods; ++i) {
            ASSERT_EQ(kernel.step(contacts(true, false)).standing, StopCause::kEstopLine);
        }
        ASSERT_EQ(kernel.step(contacts(false, false)).standing, StopCause::kNone);
    }
}

TEST(EstopLines, ABrokenContactTakesThePlaceOfWhateverBeganTheStop) {
    for (const StopCause first : {StopCause::kOperator, StopCause::kCoreLost, StopCause::kTemperature,
                                  StopCause::kEstopLineUnreadable}) {
        KernelDriver kernel = with_lines();
        kernel.state.latch_sequence = kernel.state.last_sequence = 3;
        kernel.state.cause = first;
        for (int i = 1; i < kDiscrepancyPeriods; ++i)
            ASSERT_EQ(kernel.step(contacts(true, false)).cause, first) << "an open contact is no broken one";
        const Outputs out = kernel.step(contacts(true, false));
        EXPECT_EQ(out.standing, StopCause::kEstopDiscrepancy);
        EXPECT_EQ(out.cause, StopCause::kEstopDiscrepancy);
        EXPECT_EQ(out.latch_sequence, 3u) << "it is still the same stop";
        EXPECT_FALSE(out.newly_latched);
    }
}

// A person stops the robot, then presses the e-stop whose second contact is welded, and the machine restarts.
TEST(EstopLines, ABrokenContactFoundUnderAnotherStopOutlivesTheDaemon) {
    KernelDriver kernel = with_lines();
    kernel.stop();
    for (int i = 0; i < kDiscrepancyPeriods; ++i) kernel.step(contacts(true, false));
    KernelDriver next = with_lines();
    next.state.latch_sequence = kernel.state.latch_sequence;
    next.state.last_sequence = kernel.state.last_sequence;
    next.state.cause = kernel.state.cause;
    next.state.estop.fault = kernel.state.cause == StopCause::kEstopDiscrepancy;  // as daemon.cpp restores it
    EXPECT_TRUE(next.step(with_reset(contacts(false, false))).reset_refused);
    next.step(contacts(true, true));
    EXPECT_TRUE(next.step(with_reset(contacts(false, false))).reset_granted);
}

TEST(EstopLines, NothingElseRewritesTheCauseOfAStop) {
    KernelDriver kernel = with_lines();
    kernel.stop();
    EXPECT_EQ(kernel.step(contacts(true, true)).cause, StopCause::kOperator);
    Inputs in = kernel.alive();
    in.estop.readable = false;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kOperator);
}

TEST(EstopLines, NameThemselvesBeforeWhatFollowsFromThem) {
    KernelDriver kernel = with_lines();
    kernel.step(kernel.armed());
    Inputs in = contacts(true, true);
    in.core_lost = in.operator_stop = true;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kEstopLine);
}

KernelDriver with_enable_line(int delay_periods = 0) {
    KernelDriver kernel;
    kernel.config.enable_line = true;
    kernel.config.enable_drop_delay_ns = delay_periods * KernelDriver::kPeriodNs;
    return kernel;
}

TEST(EnableLine, IsHighExactlyWhileArmingIsPermitted) {
    KernelDriver kernel = with_enable_line();
    EXPECT_FALSE(kernel.step({}).enable);
    EXPECT_FALSE(kernel.step(kernel.quiet()).enable) << "attached, not heard";
    EXPECT_TRUE(kernel.step(kernel.alive()).enable);
    Inputs in = kernel.alive();
    in.worker_attached = in.worker_beat = false;
    EXPECT_FALSE(kernel.step(in).enable) << "a required worker left";
    EXPECT_TRUE(kernel.step(kernel.alive()).enable);
    EXPECT_FALSE(kernel.step({}).enable) << "no stop, but nobody there";
}

TEST(EnableLine, FallsInThePeriodOfTheStop) {
    KernelDriver kernel = with_enable_line();
    kernel.step(kernel.armed());
    Inputs in = kernel.armed();
    in.operator_stop = true;
    const Outputs out = kernel.step(in);
    EXPECT_TRUE(out.newly_latched);
    EXPECT_FALSE(out.enable);
    EXPECT_FALSE(kernel.step(kernel.alive()).enable);
    EXPECT_FALSE(kernel.reset().enable) << "after a reset, heartbeats first";
    EXPECT_TRUE(kernel.step(kernel.alive()).enable);
}

TEST(EnableLine, FallsWhenItsOwnDaemonLacksSomething) {
    KernelDriver kernel = with_enable_line();
    kernel.config.watchdog_missing = true;
    Outputs out = kernel.step(kernel.alive());
    EXPECT_FALSE(out.enable);
    EXPECT_FALSE(out.arm_permitted);
    kernel.config.watchdog_missing = false;
    kernel.config.realtime_missing = true;
    out = kernel.step(kernel.alive());
    EXPECT_FALSE(out.enable);
    EXPECT_FALSE(out.arm_permitted);
}

TEST(EnableLine, AfterADelayStopsCategoryOne) {
    constexpr int kDelay = 30;
    KernelDriver kernel = with_enable_line(kDelay);
    kernel.step(kernel.armed());
    Inputs in = kernel.armed();
    in.core_beat = false;
    for (int i = 1; i < KernelDriver::kCorePeriods; ++i) ASSERT_TRUE(kernel.step(in).enable);
    for (int i = 1; i <= kDelay; ++i) ASSERT_TRUE(kernel.step(in).enable) << i;
    EXPECT_FALSE(kernel.step(in).enable);
    EXPECT_FALSE(kernel.step(in).enable);
}

TEST(EnableLine, ADelayIsForStopsOnly) {
    KernelDriver kernel = with_enable_line(30);
    kernel.step(kernel.alive());
    EXPECT_FALSE(kernel.step({}).enable);
    kernel.step(kernel.alive());
    kernel.stop();
    kernel.reset();
    EXPECT_FALSE(kernel.step(kernel.quiet()).enable) << "a reset does not carry the old power over";
}

TEST(EnableLine, ADelayIsNotForALineThatWasLow) {
    KernelDriver kernel = with_enable_line(30);
    Inputs in{};
    in.operator_stop = true;
    EXPECT_FALSE(kernel.step(in).enable);
    kernel.reset();
    ASSERT_TRUE(kernel.step(kernel.alive()).enable);
    ASSERT_FALSE(kernel.step({}).enable) << "both left";
    EXPECT_FALSE(kernel.step(in).enable) << "a stop gives no power back";
}

TEST(EnableLine, OneThatFailsIsAStop) {
    KernelDriver kernel = with_enable_line();
    Inputs in = kernel.alive();
    in.enable_line_failed = true;
    expect_latched_while_present(kernel, in, kernel.alive(), StopCause::kEnableLineFailed);
    KernelDriver without;
    EXPECT_EQ(without.step(in).standing, StopCause::kNone);
}

Inputs faulty(bool armed) {
    Inputs in = armed ? KernelDriver::armed() : KernelDriver::alive();
    in.drive_fault = true;
    return in;
}

TEST(DriveFault, StopsAnArmedRobotAndStandsUntilItIsGone) {
    KernelDriver kernel;
    kernel.config.drive_faults = Reaction::kStop;
    kernel.step(kernel.armed());
    kernel.step(faulty(true));
    kernel.step(faulty(false));  // armed in the period before
    kernel.step(faulty(false));
    expect_latched_while_present(kernel, faulty(false), kernel.alive(), StopCause::kDriveFault);
}

TEST(DriveFault, AtRestIsTheCoresToRefuse) {
    KernelDriver kernel;
    kernel.config.drive_faults = Reaction::kStop;
    for (int i = 0; i < 10; ++i) ASSERT_EQ(kernel.step(faulty(false)).standing, StopCause::kNone);
}

TEST(DriveFault, WithoutPowerADriveIsNotBelieved) {
    KernelDriver kernel;
    kernel.config.drive_faults = Reaction::kStop;
    kernel.config.enable_line = true;
    kernel.step(kernel.armed());
    EXPECT_EQ(kernel.step(faulty(true)).cause, StopCause::kDriveFault);
    kernel.step(faulty(false));  // armed in the period before
    const Outputs out = kernel.step(with_reset(faulty(false)));
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_TRUE(out.reset_granted);
}

TEST(DriveFault, MayBeWarnedOfOrIgnored) {
    KernelDriver kernel;
    kernel.config.drive_faults = Reaction::kWarn;
    Outputs out = kernel.step(faulty(true));
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_EQ(out.warnings, 1u << static_cast<std::uint32_t>(StopCause::kDriveFault));
    kernel.config.drive_faults = Reaction::kOff;
    out = kernel.step(faulty(true));
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_EQ(out.warnings, 0u);
}

Inputs late(std::uint32_t overruns, bool armed = true) {
    Inputs in = armed ? KernelDriver::armed() : KernelDriver::alive();
    in.core_overruns = overruns;
    return in;
}

KernelDriver with_overruns(std::uint32_t limit, int window_periods) {
    KernelDriver kernel;
    kernel.config.core_overruns = Reaction::kStop;
    kernel.config.overrun_limit = limit;
    kernel.config.overrun_window_ns = window_periods * KernelDriver::kPeriodNs;
    return kernel;
}

TEST(CoreOverruns, StopAnArmedRobotAndStandUntilTheWindowIsQuiet) {
    KernelDriver kernel = with_overruns(20, 80);
    kernel.step(late(19));
    EXPECT_EQ(kernel.step(late(1)).cause, StopCause::kCoreOverruns);
    Outputs out = kernel.step(with_reset(late(0, false)));
    EXPECT_TRUE(out.reset_refused);
    int periods = 0;
    while (kernel.step(late(0, false)).standing != StopCause::kNone) ASSERT_LT(++periods, 80);
    EXPECT_GE(periods, 60) << "as long as the window remembers them, armed or not";
    EXPECT_TRUE(kernel.step(with_reset(late(0, false))).reset_granted);
}

TEST(CoreOverruns, AtRestAreNoStop) {
    KernelDriver kernel = with_overruns(20, 80);
    for (int i = 0; i < 200; ++i) ASSERT_EQ(kernel.step(late(5, false)).standing, StopCause::kNone);
}

TEST(CoreOverruns, ThatBeganAtRestCountOnceItIsArmed) {
    KernelDriver kernel = with_overruns(20, 80);
    kernel.step(late(25, false));
    EXPECT_EQ(kernel.step(late(0)).cause, StopCause::kCoreOverruns);
}

TEST(CoreOverruns, HugeNumbersDoNotWrapAround) {
    KernelDriver kernel = with_overruns(20, 80);
    for (int i = 0; i < 200; ++i) {
        ASSERT_EQ(kernel.step(late(0xFFFF'FFFF)).standing, StopCause::kCoreOverruns);
    }
}

constexpr std::int32_t kHot = 95'000;
constexpr std::int32_t kCool = 90'000;
constexpr int kMaxAgePeriods = 100;

KernelDriver with_health(bool required = false) {
    KernelDriver kernel;
    kernel.config.temperature = {Reaction::kStop, kHot, kCool, required};
    kernel.config.memory_pressure = {Reaction::kWarn, 5'000, 2'500, false};
    kernel.config.health_max_age_ns = kMaxAgePeriods * KernelDriver::kPeriodNs;
    return kernel;
}

Inputs health(Reading temperature, Reading memory = {true, 0}) {
    Inputs in = KernelDriver::alive();
    in.health = {true, temperature, memory};
    return in;
}

TEST(Health, HeatIsAStopUntilItHasCooledDown) {
    KernelDriver kernel = with_health();
    kernel.step(health({true, kHot}));
    EXPECT_TRUE(kernel.step(with_reset(health({true, kCool}))).reset_refused) << "hysteresis";
    expect_latched_while_present(kernel, health({true, kCool}), health({true, kCool - 1}),
                                 StopCause::kTemperature);
}

TEST(Health, HeatThatIsWarnedOfStopsNothing) {
    KernelDriver kernel = with_health();
    kernel.config.temperature.reaction = Reaction::kWarn;
    const Outputs out = kernel.step(health({true, kHot}));
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_EQ(out.warnings, 1u << static_cast<std::uint32_t>(StopCause::kTemperature));
    EXPECT_TRUE(out.arm_permitted);
}

TEST(Health, EverythingThatIsWarnedOfIsSaidAtOnce) {
    KernelDriver kernel = with_health();
    kernel.config.temperature.reaction = Reaction::kWarn;
    EXPECT_EQ(kernel.step(health({true, kHot}, {true, 5'000})).warnings,
              1u << static_cast<std::uint32_t>(StopCause::kTemperature) |
                  1u << static_cast<std::uint32_t>(StopCause::kMemoryPressure));
}

TEST(Health, MemoryPressureWarnsOrStops) {
    KernelDriver kernel = with_health();
    EXPECT_EQ(kernel.step(health({true, 0}, {true, 5'000})).warnings,
              1u << static_cast<std::uint32_t>(StopCause::kMemoryPressure));
    EXPECT_EQ(kernel.step(health({true, 0}, {true, 2'499})).warnings, 0u);
    kernel.config.memory_pressure.reaction = Reaction::kStop;
    expect_latched_while_present(kernel, health({true, 0}, {true, 5'000}), health({true, 0}),
                                 StopCause::kMemoryPressure);
}

TEST(Health, ASensorThatNeverWasIsNoHazardUnlessItIsRequired) {
    KernelDriver kernel = with_health();
    for (int i = 0; i < 3 * kMaxAgePeriods; ++i) {
        ASSERT_EQ(kernel.step(kernel.alive()).standing, StopCause::kNone);
        ASSERT_EQ(kernel.step(health({}, {})).standing, StopCause::kNone);
    }
    KernelDriver strict = with_health(true);
    expect_latched_while_present(strict, health({}), health({true, 0}), StopCause::kHealthUnreadable);
}

TEST(Health, ASensorThatDiesIsAHazard) {
    KernelDriver kernel = with_health();
    kernel.step(health({true, 20'000}));
    expect_latched_while_present(kernel, health({}), health({true, 20'000}), StopCause::kHealthUnreadable);
}

TEST(Health, AStaleSampleIsNoSample) {
    KernelDriver kernel = with_health();
    kernel.step(health({true, 20'000}));
    Inputs in = health({true, 20'000});
    in.health.is_new = false;
    for (int i = 1; i < kMaxAgePeriods; ++i) ASSERT_EQ(kernel.step(in).standing, StopCause::kNone);
    const Outputs out = kernel.step(in);
    EXPECT_EQ(out.cause, StopCause::kHealthUnreadable);
    EXPECT_NE(out.warnings & 1u << static_cast<std::uint32_t>(StopCause::kHealthUnreadable), 0u)
        << "memory pressure is unknown too, and only warned of";
    EXPECT_EQ(kernel.step(health({true, 20'000})).standing, StopCause::kNone);
}

TEST(Health, HeatThatCannotBeReadAnyMoreIsStillHeat) {
    KernelDriver kernel = with_health();
    kernel.step(health({true, kHot}));
    EXPECT_EQ(kernel.step(health({})).standing, StopCause::kTemperature);
}

TEST(Health, WhatIsOffIsNotLookedAt) {
    KernelDriver kernel = with_health(true);
    kernel.config.temperature.reaction = Reaction::kOff;
    kernel.config.memory_pressure.reaction = Reaction::kOff;
    for (const Inputs& in : {health({}), health({true, kHot}, {true, 10'000})}) {
        const Outputs out = kernel.step(in);
        EXPECT_EQ(out.standing, StopCause::kNone);
        EXPECT_EQ(out.warnings, 0u);
    }
}

}  // namespace
}  // namespace holdfast::safety
