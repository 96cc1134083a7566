// The rules of the safety kernel, each by an example; the sweeps around every limit and the random sequences
// are in kernel_sweep_test.cpp.
#include "safety/kernel.hpp"

#include <gtest/gtest.h>

#include "safety/kernel_driver.hpp"

namespace holdfast::safety {
namespace {

using shm::ControllerFault;

TEST(Kernel, StartsUnlatchedAndPermitsNothing) {
    KernelDriver kernel;
    const Outputs out = kernel.step({});
    EXPECT_EQ(out.latch_sequence, 0u);
    EXPECT_EQ(out.cause, StopCause::kNone);
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_FALSE(out.arm_permitted);
}

TEST(Kernel, PermitsArmingWhileBothBeat) {
    KernelDriver kernel;
    EXPECT_TRUE(kernel.step(kernel.alive()).arm_permitted);
    EXPECT_TRUE(kernel.step(kernel.quiet()).arm_permitted);  // one missed beat is not yet silence
}

TEST(Kernel, BeatOfAPeerThatIsNotAttachedIsNobodys) {
    KernelDriver kernel;
    Inputs in = kernel.alive();
    in.core_attached = false;
    EXPECT_FALSE(kernel.step(in).arm_permitted);
    in = kernel.alive();
    in.worker_attached = false;
    EXPECT_FALSE(kernel.step(in).arm_permitted);
}

TEST(Kernel, AttachedIsNotYetAlive) {
    KernelDriver kernel;
    for (int i = 0; i < 1000; ++i) {
        const Outputs out = kernel.step(kernel.quiet());
        ASSERT_FALSE(out.arm_permitted);
        ASSERT_EQ(out.standing, StopCause::kNone);  // it never moved anything
    }
}

TEST(Kernel, WorkerThatNeverAttachedForbidsArmingAndIsNoStop) {
    KernelDriver kernel;
    Inputs in = kernel.alive();
    in.worker_attached = in.worker_beat = false;
    for (int i = 0; i < 1000; ++i) {
        const Outputs out = kernel.step(in);
        ASSERT_EQ(out.latch_sequence, 0u);
        ASSERT_FALSE(out.arm_permitted);
    }
}

TEST(Kernel, WorkerThatIsNotRequiredNeitherForbidsNorStops) {
    KernelDriver kernel;
    kernel.config.worker_required = false;
    Inputs in = kernel.alive();
    in.worker_attached = in.worker_beat = false;
    EXPECT_TRUE(kernel.step(in).arm_permitted);
    kernel.step(kernel.alive());
    in = kernel.alive();
    in.worker_beat = false;
    in.worker_lost = true;
    const Outputs out = kernel.step(in);
    EXPECT_EQ(out.latch_sequence, 0u);
    EXPECT_TRUE(out.arm_permitted);
}

TEST(Kernel, SilentCoreStops) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.core_beat = false;
    Outputs out{};
    for (int i = 0; i < KernelDriver::kCorePeriods; ++i) out = kernel.step(in);
    EXPECT_TRUE(out.newly_latched);
    EXPECT_EQ(out.cause, StopCause::kCoreLost);
    EXPECT_FALSE(out.arm_permitted);
    EXPECT_EQ(kernel.state.latch_ns, kernel.now_ns);
}

TEST(Kernel, SilentWorkerStops) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.worker_beat = false;
    Outputs out{};
    for (int i = 0; i < KernelDriver::kWorkerPeriods; ++i) out = kernel.step(in);
    EXPECT_TRUE(out.newly_latched);
    EXPECT_EQ(out.cause, StopCause::kWorkerLost);
}

TEST(Kernel, LossWithoutDetachStopsAtOnce) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.core_lost = true;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kCoreLost);

    KernelDriver other;
    other.step(other.alive());
    in = other.alive();
    in.worker_lost = true;
    EXPECT_EQ(other.step(in).cause, StopCause::kWorkerLost);
}

TEST(Kernel, LossOfAPeerThatNeverBeatStopsToo) {
    KernelDriver kernel;
    Inputs in = kernel.quiet();
    in.core_lost = true;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kCoreLost);
}

TEST(Kernel, LateWakeOfTheDaemonAddsOnePeriod) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.core_beat = false;
    for (int i = 1; i < KernelDriver::kCorePeriods; ++i) {
        kernel.now_ns += 1'000'000'000;  // the machine stood still
        ASSERT_EQ(kernel.step(in).latch_sequence, 0u);
    }
    EXPECT_EQ(kernel.step(kernel.alive()).latch_sequence, 0u);
}

TEST(Kernel, DetachInGoodOrderIsNoStop) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.worker_attached = in.worker_beat = false;
    Outputs out = kernel.step(in);
    EXPECT_EQ(out.latch_sequence, 0u);
    EXPECT_FALSE(out.arm_permitted);
    out = kernel.step({});
    EXPECT_EQ(out.latch_sequence, 0u);
    EXPECT_FALSE(out.arm_permitted);
}

TEST(Kernel, CoreThatDetachesWhileArmedStops) {
    KernelDriver kernel;
    kernel.step(kernel.armed());
    EXPECT_EQ(kernel.step({}).cause, StopCause::kCoreLost);
}

TEST(Kernel, CoreThatArmedAndDetachedWithinOnePeriodStops) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in{};
    in.core_armed = true;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kCoreLost);
}

TEST(Kernel, WorkerThatDetachesWhileArmedStops) {
    KernelDriver kernel;
    kernel.step(kernel.armed());
    Inputs in = kernel.armed();
    in.worker_attached = in.worker_beat = false;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kWorkerLost);
}

TEST(Kernel, WorkerThatIsNotRequiredMayDetachWhileArmed) {
    KernelDriver kernel;
    kernel.config.worker_required = false;
    kernel.step(kernel.armed());
    Inputs in = kernel.armed();
    in.worker_attached = in.worker_beat = false;
    EXPECT_EQ(kernel.step(in).latch_sequence, 0u);
}

TEST(Kernel, CoreThatIsNotAttachedIsNotArmed) {
    KernelDriver kernel;
    Inputs in{};
    in.core_armed = true;  // a stale sample
    in.worker_attached = in.worker_beat = true;
    kernel.step(in);
    in.core_armed = false;
    in.worker_attached = in.worker_beat = false;
    EXPECT_EQ(kernel.step(in).latch_sequence, 0u);
}

struct FaultCase {
    ControllerFault fault;
    StopCause cause;
};

class KernelFault : public testing::TestWithParam<FaultCase> {};

TEST_P(KernelFault, StopsForWhatTheCoreCannotHandleItself) {
    KernelDriver kernel;
    Inputs in = kernel.armed();
    in.controller_fault = GetParam().fault;
    const Outputs out = kernel.step(in);
    EXPECT_EQ(out.cause, GetParam().cause);
    EXPECT_EQ(out.newly_latched, GetParam().cause != StopCause::kNone);
    in.reset = true;
    EXPECT_EQ(kernel.step(in).reset_granted, GetParam().cause == StopCause::kNone);
    in.controller_fault = ControllerFault::kNone;
    in.core_armed = false;
    EXPECT_TRUE(kernel.step(in).reset_granted);
}

INSTANTIATE_TEST_SUITE_P(
    EveryFault, KernelFault,
    testing::Values(FaultCase{ControllerFault::kNone, StopCause::kNone},
                    FaultCase{ControllerFault::kTrap, StopCause::kNone},
                    FaultCase{ControllerFault::kOverrun, StopCause::kNone},
                    FaultCase{ControllerFault::kNotFinite, StopCause::kControllerNotFinite},
                    FaultCase{ControllerFault::kEstopRequest, StopCause::kControllerRequest},
                    FaultCase{static_cast<ControllerFault>(99), StopCause::kNone}));

TEST(Kernel, OperatorStops) {
    KernelDriver kernel;
    Inputs in = kernel.armed();
    in.operator_stop = true;
    const Outputs out = kernel.step(in);
    EXPECT_EQ(out.cause, StopCause::kOperator);
    EXPECT_EQ(out.latch_sequence, 1u);
    EXPECT_TRUE(out.newly_latched);
}

TEST(Kernel, OperatorStopsEvenWithNobodyThere) {
    KernelDriver kernel;
    Inputs in{};
    in.operator_stop = true;
    EXPECT_EQ(kernel.step(in).latch_sequence, 1u);
}

TEST(Kernel, UnreadableRecordIsAStopAndStandsUntilItIsMended) {
    KernelDriver kernel;
    Inputs in = kernel.alive();
    in.record_unreadable = true;
    EXPECT_EQ(kernel.step(in).cause, StopCause::kStateRecordUnreadable);
    in.reset = true;
    EXPECT_TRUE(kernel.step(in).reset_refused);
    in.record_unreadable = false;
    EXPECT_TRUE(kernel.step(in).reset_granted);
}

TEST(Kernel, LatchStaysWhenItsCauseIsGone) {
    KernelDriver kernel;
    kernel.stop();
    for (int i = 0; i < 1000; ++i) {
        const Outputs out = kernel.step(kernel.alive());
        ASSERT_EQ(out.latch_sequence, 1u);
        ASSERT_EQ(out.cause, StopCause::kOperator);
        ASSERT_EQ(out.standing, StopCause::kNone);
        ASSERT_FALSE(out.newly_latched);
        ASSERT_FALSE(out.arm_permitted);
    }
}

TEST(Kernel, FirstCauseIsKept) {
    KernelDriver kernel;
    const std::int64_t stopped_ns = kernel.stop();
    Inputs in = kernel.alive();
    in.core_lost = true;
    const Outputs out = kernel.step(in);
    EXPECT_EQ(out.cause, StopCause::kOperator);
    EXPECT_EQ(out.standing, StopCause::kCoreLost);
    EXPECT_EQ(out.latch_sequence, 1u);
    EXPECT_EQ(kernel.state.latch_ns, stopped_ns);
}

TEST(Kernel, ResetIsRefusedWhileACauseStands) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    Inputs in = kernel.alive();
    in.core_beat = false;
    in.core_lost = true;
    kernel.step(in);
    in.core_lost = false;
    in.reset = true;
    for (int i = 0; i < 1000; ++i) {  // time does not heal
        const Outputs out = kernel.step(in);
        ASSERT_TRUE(out.reset_refused);
        ASSERT_FALSE(out.reset_granted);
        ASSERT_EQ(out.standing, StopCause::kCoreLost);
        ASSERT_EQ(out.latch_sequence, 1u);
    }
    in.core_beat = true;
    EXPECT_TRUE(kernel.step(in).reset_granted);
}

TEST(Kernel, StopDominatesAResetInTheSamePeriod) {
    KernelDriver kernel;
    kernel.stop();
    Inputs in = kernel.alive();
    in.reset = in.operator_stop = true;
    const Outputs out = kernel.step(in);
    EXPECT_TRUE(out.reset_refused);
    EXPECT_EQ(out.latch_sequence, 1u);
}

TEST(Kernel, ResetClearsTheLatchAndKeepsItsNumber) {
    KernelDriver kernel;
    kernel.stop();
    Outputs out = kernel.reset();
    EXPECT_TRUE(out.reset_granted);
    EXPECT_FALSE(out.reset_refused);
    EXPECT_EQ(out.latch_sequence, 0u);
    EXPECT_EQ(out.cause, StopCause::kNone);
    EXPECT_EQ(kernel.state.latch_ns, 0);
    kernel.stop();
    EXPECT_EQ(kernel.state.latch_sequence, 2u);
}

TEST(Kernel, AfterAResetArmingNeedsFreshHeartbeats) {
    KernelDriver kernel;
    kernel.stop();
    EXPECT_FALSE(kernel.reset().arm_permitted);
    EXPECT_FALSE(kernel.step(kernel.quiet()).arm_permitted);
    Inputs in = kernel.quiet();
    in.core_beat = true;
    EXPECT_FALSE(kernel.step(in).arm_permitted);  // the worker has not yet beaten
    EXPECT_TRUE(kernel.step(kernel.alive()).arm_permitted);
}

TEST(Kernel, SilenceGoesOnThroughAReset) {
    KernelDriver kernel;
    kernel.stop();
    for (int i = 1; i < KernelDriver::kCorePeriods; ++i) {
        Inputs in = kernel.quiet();
        in.reset = i == 2;
        ASSERT_EQ(kernel.step(in).standing, StopCause::kNone);
    }
    EXPECT_EQ(kernel.step(kernel.quiet()).cause, StopCause::kCoreLost);
}

// Hazard: a core that stood still when the stop came and the reset went would move on.
TEST(Kernel, ResetIsRefusedUntilTheCoreHasCarriedOutTheStop) {
    KernelDriver kernel;
    kernel.step(kernel.armed());
    kernel.stop();
    Inputs in = kernel.armed();
    in.core_beat = false;
    in.reset = true;
    Outputs out = kernel.step(in);
    EXPECT_TRUE(out.reset_refused);
    EXPECT_FALSE(out.reset_granted);
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_NE(out.latch_sequence, 0u);
    in.core_armed = false;
    out = kernel.step(in);
    EXPECT_TRUE(out.reset_granted);
    EXPECT_EQ(out.latch_sequence, 0u);
}

TEST(Kernel, ResetOfARobotThatRunsTakesNoPowerAway) {
    KernelDriver kernel;
    kernel.config.enable_line = true;
    kernel.step(kernel.armed());
    Inputs in = kernel.armed();
    in.core_beat = in.worker_beat = false;
    in.reset = true;
    const Outputs out = kernel.step(in);
    EXPECT_TRUE(out.reset_granted);
    EXPECT_TRUE(out.arm_permitted);
    EXPECT_TRUE(out.enable);
}

// Hazard: a stop that could not be written is forgotten by the next restart.
TEST(Kernel, WithoutAWrittenRecordNothingArms) {
    KernelDriver kernel;
    Inputs in = kernel.alive();
    in.record_behind = true;
    Outputs out = kernel.step(in);
    EXPECT_FALSE(out.arm_permitted);
    EXPECT_EQ(out.latch_sequence, 0u) << "it is no stop";
    in.record_behind = false;
    EXPECT_TRUE(kernel.step(in).arm_permitted);
}

TEST(Kernel, StopThatTheRecordHadLostStandsAgainUnderANewNumber) {
    KernelDriver kernel;
    Inputs in = kernel.quiet();
    in.lost_stop = 7;
    const Outputs out = kernel.step(in);
    EXPECT_TRUE(out.newly_latched);
    EXPECT_EQ(out.cause, StopCause::kStateRecordUnreadable);
    EXPECT_EQ(out.latch_sequence, 8u);
    EXPECT_TRUE(kernel.reset().reset_granted);
    kernel.state.last_sequence = 20;
    EXPECT_EQ(kernel.step(in).latch_sequence, 21u) << "numbers never go back";
}

TEST(Kernel, ResetWithNothingLatchedIsHarmless) {
    KernelDriver kernel;
    kernel.step(kernel.alive());
    const Outputs out = kernel.reset();
    EXPECT_TRUE(out.reset_granted);
    EXPECT_EQ(out.latch_sequence, 0u);
}

TEST(Kernel, RestoredLatchStandsAndCountsOn) {
    KernelDriver kernel;
    kernel.state.latch_sequence = kernel.state.last_sequence = 41;
    kernel.state.cause = StopCause::kWorkerLost;
    Outputs out = kernel.step(kernel.alive());
    EXPECT_EQ(out.latch_sequence, 41u);
    EXPECT_EQ(out.cause, StopCause::kWorkerLost);
    EXPECT_FALSE(out.newly_latched);
    EXPECT_FALSE(out.arm_permitted);
    EXPECT_TRUE(kernel.reset().reset_granted);
    kernel.stop();
    EXPECT_EQ(kernel.state.latch_sequence, 42u);
}

TEST(Kernel, WithoutItsRealtimeNothingMayArmYetStopsWork) {
    KernelDriver kernel;
    kernel.config.realtime_missing = true;
    EXPECT_FALSE(kernel.step(kernel.alive()).arm_permitted);
    kernel.stop();
    EXPECT_EQ(kernel.state.latch_sequence, 1u);
}

TEST(Kernel, NewCoreAfterALossEndsTheCause) {
    KernelDriver kernel;
    kernel.step(kernel.armed());
    Inputs in = kernel.quiet();
    in.core_lost = true;
    kernel.step(in);
    Outputs out = kernel.step(kernel.quiet());  // attached again, not yet beating
    EXPECT_EQ(out.standing, StopCause::kCoreLost);
    out = kernel.step(kernel.alive());
    EXPECT_EQ(out.standing, StopCause::kNone);
    EXPECT_EQ(out.latch_sequence, 1u);
}

}  // namespace
}  // namespace holdfast::safety
