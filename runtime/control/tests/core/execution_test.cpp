// The execution states at the drives' end of a real link: pause, hold and fault. Arm, stops and e-stop are in
// tier1_test.cpp.
#include "core/execution.hpp"

#include "robot_rig.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;
using shm::Mode;

constexpr double kFloat = 1e-5;  // commands travel as float32

struct Answer {
    Mode before;
    bool done;
};

Answer ask(RobotRig& rig, Request request) {
    rig.exchange.request(request);
    rig.cycle();
    const std::uint64_t answer = rig.exchange.answer.load();
    return {static_cast<Mode>(answer >> 8 & 0xFF), (answer & 1u) != 0};
}

void expect_deceleration(const std::vector<double>& sent, std::size_t from) {
    for (std::size_t i = from; i < sent.size(); ++i) {
        EXPECT_GE(sent[i], 0.0);
        EXPECT_LE(sent[i], sent[i - 1]);
        EXPECT_LE(sent[i - 1] - sent[i], 0.04 + kFloat) << "steeper than max_accel";
    }
    EXPECT_EQ(sent.back(), 0.0);
}

TEST(Pause, HoldsInAControlledWayAndDoesNotCallTheController) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.wish(kJoint, -0.5);
    rig.cycles(100);
    const std::size_t first = rig.drives[kSpindle].commands.size();
    EXPECT_TRUE(ask(rig, Request::kPause).done);
    EXPECT_EQ(rig.mode(), Mode::kPaused);
    EXPECT_FALSE(rig.exchange.snapshot.latest().run);
    EXPECT_EQ(rig.exchange.snapshot.latest().mode, Mode::kPaused);
    rig.cycles(500);
    EXPECT_EQ(rig.mode(), Mode::kPaused);
    expect_deceleration(rig.drives[kSpindle].commands, first);
    const double held = rig.sent(kJoint);
    EXPECT_GT(held, -0.49) << "went on to its setpoint";
    rig.cycles(200);
    EXPECT_EQ(rig.sent(kJoint), held);
    for (const RigDrive& drive : rig.drives) EXPECT_EQ(drive.axis_state, 8) << "a pause takes no power away";
}

TEST(Pause, EndsWithResumeAndUsesNoSetpointFromBeforeIt) {
    RobotRig rig;
    rig.arm_and_turn();
    ASSERT_TRUE(ask(rig, Request::kPause).done);
    rig.cycles(400);
    rig.controller_runs = false;
    rig.setpoint.mono_ns = rig_clock();  // of a tick that ended late
    rig.exchange.setpoint.writable() = rig.setpoint;
    rig.exchange.setpoint.publish();
    rig.cycle();
    ASSERT_TRUE(ask(rig, Request::kResume).done);
    rig.cycles(10);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_EQ(rig.sent(kSpindle), 0.0) << "an old setpoint is followed";
    rig.controller_runs = true;
    rig.cycles(400);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, kFloat);
}

TEST(Pause, IsPossibleWhileArmedOnlyAndRefusalsAreCounted) {
    RobotRig rig;
    const auto expect_refused = [&rig](Request request, Mode mode) {
        const std::uint64_t before = rig.counter(Counter::kTransitionsRefused);
        const Answer answer = ask(rig, request);
        EXPECT_FALSE(answer.done);
        EXPECT_EQ(answer.before, mode);
        EXPECT_EQ(rig.mode(), mode);
        EXPECT_EQ(rig.counter(Counter::kTransitionsRefused), before + 1);
    };
    rig.cycle();
    expect_refused(Request::kPause, Mode::kDisarmed);
    expect_refused(Request::kResume, Mode::kDisarmed);
    expect_refused(Request::kClearFault, Mode::kDisarmed);
    rig.arm_and_turn();
    expect_refused(Request::kResume, Mode::kRunning);
    rig.latch(4);
    rig.cycle();
    expect_refused(Request::kPause, Mode::kEstop);
    expect_refused(Request::kResume, Mode::kEstop);
}

TEST(Pause, OfAPausedRobotChangesNothing) {
    RobotRig rig;
    rig.arm_and_turn();
    ask(rig, Request::kPause);
    EXPECT_TRUE(ask(rig, Request::kPause).done);
    EXPECT_EQ(rig.mode(), Mode::kPaused);
    EXPECT_EQ(rig.counter(Counter::kTransitionsRefused), 0u);
}

TEST(Pause, WinsOverAResumeAndLosesAgainstADisarmOfTheSameCycle) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.exchange.request(Request::kResume);
    ask(rig, Request::kPause);
    EXPECT_EQ(rig.mode(), Mode::kPaused);
    rig.exchange.request(Request::kDisarm);
    EXPECT_FALSE(ask(rig, Request::kResume).done);
    EXPECT_EQ(rig.mode(), Mode::kStopping);
}

TEST(Pause, IsNoArming) {
    RobotRig rig;
    rig.arm_and_turn();
    ask(rig, Request::kPause);
    EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(Blocker::kPaused));
    EXPECT_EQ(rig.mode(), Mode::kPaused);
}

TEST(Pause, EndsInEveryStop) {
    struct Case {
        const char* name;
        void (*cause)(RobotRig&);
        Mode mode;
    };
    const Case cases[] = {
        {"disarm", [](RobotRig& rig) { rig.exchange.request(Request::kDisarm); }, Mode::kStopping},
        {"trap", [](RobotRig& rig) { rig.fault_controller(shm::ControllerFault::kTrap); }, Mode::kStopping},
        {"drive", [](RobotRig& rig) { rig.drives[kJoint].axis_error = 1; }, Mode::kStopping},
        {"silence",
         [](RobotRig& rig) {
             rig.safety_beats = false;
             rig.cycles(19);
         },
         Mode::kStopping},
        {"latch", [](RobotRig& rig) { rig.latch(9); }, Mode::kEstop},
    };
    for (const Case& c : cases) {
        RobotRig rig;
        rig.arm_and_turn();
        ask(rig, Request::kPause);
        rig.cycles(10);
        c.cause(rig);
        rig.cycle();
        EXPECT_EQ(rig.mode(), c.mode) << c.name;
    }
}

TEST(Pause, BeforeTheDrivesAreReadyKeepsEnablingThemAndNothingMoves) {
    RobotRig rig;
    rig.load_controller();
    rig.wish(kSpindle, 5.0);
    rig.cycles(3);
    ASSERT_EQ(rig.arm(), 0u);
    ASSERT_TRUE(ask(rig, Request::kPause).done);
    rig.cycles(500);
    EXPECT_EQ(rig.mode(), Mode::kPaused);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    for (const RigDrive& drive : rig.drives) EXPECT_EQ(drive.axis_state, 8);
    ask(rig, Request::kResume);
    rig.cycles(400);
    EXPECT_NEAR(rig.sent(kSpindle), 5.0, kFloat);
}

TEST(Holding, EndsWhenTheSetpointIsFreshAgain) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.controller_runs = false;
    rig.cycles(100);
    ASSERT_EQ(rig.mode(), Mode::kHolding);
    EXPECT_TRUE(rig.exchange.snapshot.latest().run) << "is not called again";
    rig.controller_runs = true;
    rig.cycles(400);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, kFloat);
}

TEST(Holding, BeginsWhenTheFirstSetpointDoesNotCome) {
    RobotRig rig;
    rig.load_controller();
    rig.cycles(3);
    rig.controller_runs = false;
    ASSERT_EQ(rig.arm(), 0u);
    rig.cycles(60);
    EXPECT_EQ(rig.mode(), Mode::kHolding);
    EXPECT_GT(rig.counter(Counter::kSetpointStale), 0u);
}

// Rule 7: count, hold, controlled stop. What is sent in that cycle: overrun_injection_test.cpp.
TEST(Holding, IsTheCycleAfterAnOverrun) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.cycle(1);
    EXPECT_EQ(rig.mode(), Mode::kHolding);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kRunning);
}

// An error that stands however often it is cleared.
void fail_for_good(RobotRig& rig) {
    rig.drives[kGripper].axis_error = 0x10;
    for (int i = 0; i < 5; ++i) {
        rig.cycles(1001);
        rig.exchange.request(Request::kClearErrors);
        rig.cycle();
    }
}

TEST(Fault, IsADriveThatKeepsItsErrorThoughItWasClearedAgainAndAgain) {
    RobotRig rig;
    rig.load_controller();
    rig.cycles(3);
    fail_for_good(rig);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed) << "its heartbeat has not told yet";
    rig.cycles(1001);
    EXPECT_EQ(rig.mode(), Mode::kFault);
    const auto event = rig.find_event(EventKind::kFault);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->index, static_cast<std::int32_t>(kGripper));
    EXPECT_NE(rig.arm() & static_cast<std::uint32_t>(Blocker::kFault), 0u);
    rig.drives[kGripper].axis_error = 0;
    rig.cycles(10);
    EXPECT_EQ(rig.mode(), Mode::kFault) << "left without anybody's word";
    EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(Blocker::kFault));
    EXPECT_EQ(rig.mode(), Mode::kFault);
}

TEST(Fault, IsNoErrorThatSomebodyClearsImpatiently) {
    RobotRig rig;
    rig.drives[kGripper].axis_error = 0x10;
    for (int i = 0; i < 50; ++i) {
        rig.exchange.request(Request::kClearErrors);
        rig.cycles(20);
    }
    rig.cycles(1100);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
}

TEST(Fault, IsNotAnErrorThatClearingHelped) {
    RobotRig rig;
    for (int round = 0; round < 10; ++round) {
        rig.drives[kGripper].axis_error = 0x10;
        rig.cycles(1001);
        rig.exchange.request(Request::kClearErrors);
        rig.cycle();
        rig.drives[kGripper].axis_error = 0;
        rig.cycle();
    }
    rig.cycles(1100);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
}

TEST(Fault, IsLeftByClearingItAndThenTheRobotIsDisarmed) {
    RobotRig rig;
    rig.load_controller();
    rig.cycles(3);
    fail_for_good(rig);
    rig.cycles(1001);
    ASSERT_EQ(rig.mode(), Mode::kFault);
    rig.drives[kGripper].axis_error = 0;
    rig.cycle();
    EXPECT_TRUE(ask(rig, Request::kClearFault).done);
    rig.cycles(10);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(rig.arm(), 0u);
}

TEST(Fault, StandsBehindALatchedStopAndIsThereAfterTheReset) {
    RobotRig rig;
    fail_for_good(rig);
    rig.latch(2);
    rig.cycles(1100);
    EXPECT_EQ(rig.mode(), Mode::kEstop);
    EXPECT_FALSE(ask(rig, Request::kClearFault).done);
    rig.latch(0);
    rig.cycles(2);
    EXPECT_EQ(rig.mode(), Mode::kFault);
    rig.latch(3);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kEstop);
}

TEST(Fault, SendsACompleteFrameToEveryDrive) {
    RobotRig rig;
    fail_for_good(rig);
    rig.cycles(1001);
    ASSERT_EQ(rig.mode(), Mode::kFault);
    for (std::size_t d = 0; d < 3; ++d) {
        const std::size_t before = rig.drives[d].commands.size();
        rig.cycle();
        EXPECT_EQ(rig.drives[d].commands.size(), before + 1);
    }
}

}  // namespace
}  // namespace holdfast::core
