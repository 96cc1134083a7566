// The rules of motion (DESIGN §2) at the drives' end of a real link.
#include "core/tier1.hpp"

#include "drive/cia402.hpp"
#include "drive/payload.hpp"
#include "robot_rig.hpp"

namespace holdfast::core {
namespace {

using shm::ControllerFault;
using shm::Counter;
using shm::Mode;

constexpr double kFloat = 1e-5;  // commands travel as float32

bool has(std::uint32_t blockers, Blocker blocker) {
    return (blockers & static_cast<std::uint32_t>(blocker)) != 0;
}

StopReason stop_reason(RobotRig& rig) {
    const auto event = rig.find_event(EventKind::kStopBegun);
    EXPECT_TRUE(event.has_value());
    return event ? static_cast<StopReason>(event->detail) : StopReason::kOperator;
}

// Rule 2 at a spindle that turned at 10 rad/s with 40 rad/s^2: 0.04 rad/s a cycle down to zero.
void expect_spindle_decelerates_from_now(RobotRig& rig) {
    const std::size_t last = rig.drives[kSpindle].commands.size() - 1;
    rig.cycles(300);
    const auto& sent = rig.drives[kSpindle].commands;
    EXPECT_NEAR(sent[last], 10.0 - 0.04, kFloat) << "the first frame of the stop is not a safe frame";
    for (std::size_t i = std::max<std::size_t>(last, 1); i < sent.size(); ++i) {
        EXPECT_GE(sent[i], 0.0);
        EXPECT_LE(sent[i], sent[i - 1]);
        EXPECT_LE(sent[i - 1] - sent[i], 0.04 + kFloat) << "steeper than max_accel";
    }
    EXPECT_EQ(sent.back(), 0.0);
}

// Rule 1.
TEST(EveryCycle, SendsACompleteFrameToEveryDriveInEveryMode) {
    RobotRig rig;
    const auto expect_frames = [&rig](int cycles) {
        std::array<std::size_t, 3> before{};
        for (std::size_t d = 0; d < 3; ++d) before[d] = rig.drives[d].commands.size();
        rig.cycles(cycles);
        for (std::size_t d = 0; d < 3; ++d) {
            EXPECT_EQ(rig.drives[d].commands.size() - before[d], static_cast<std::size_t>(cycles))
                << "drive " << d;
        }
    };
    rig.cycle();
    expect_frames(20);
    rig.arm_fully();
    expect_frames(20);
    rig.exchange.request(Request::kDisarm);
    expect_frames(20);
    rig.latch(1);
    expect_frames(20);
    EXPECT_EQ(rig.mode(), Mode::kEstop);
    EXPECT_GT(rig.counter(Counter::kFramesSent), 240u);
    EXPECT_EQ(rig.counter(Counter::kLinkSendErrors), 0u);
}

TEST(Disarmed, HoldsTheMeasuredPositionAndFollowsAnIdleDrive) {
    RobotRig rig;
    rig.cycles(5);
    EXPECT_NEAR(rig.sent(kJoint), 0.3, kFloat);
    rig.drives[kJoint].position = -0.4;
    rig.cycles(2);
    EXPECT_NEAR(rig.sent(kJoint), -0.4, kFloat);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    EXPECT_EQ(rig.sent(kGripper), 0.0);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
}

// Zero is never the stop of a position channel: before the first sample there is no safe value.
TEST(Disarmed, SendsNoPositionBeforeOneWasMeasured) {
    RobotRig rig;
    rig.drives[kJoint].talks = false;
    rig.cycles(10);
    EXPECT_TRUE(rig.drives[kJoint].commands.empty());
    EXPECT_EQ(rig.drives[kGripper].commands.size(), 10u);
    EXPECT_EQ(rig.drives[kSpindle].commands.size(), 9u) << "heard in the second cycle";
}

// Hazard: a core that restarts beside a turning spindle would stop it at once, against the daemon's ramp.
TEST(Start, BesideATurningSpindleGoesOnFromItsSpeed) {
    RobotRig rig;
    rig.drives[kSpindle].velocity = 10.0;
    rig.latch(1);
    rig.cycle();
    EXPECT_TRUE(rig.drives[kSpindle].commands.empty());
    EXPECT_EQ(rig.state().moving, 1u) << "how fast it turns is not known";
    EXPECT_EQ(rig.state().estop_latch_seen, 0u) << "the daemon would leave the spindle to nobody";
    rig.cycle();
    EXPECT_EQ(rig.state().estop_latch_seen, 1u);
    expect_spindle_decelerates_from_now(rig);
}

TEST(Start, WaitsTwentyMillisecondsForASpeedThatNobodyTells) {
    RobotRig rig;
    rig.drives[kSpindle].talks = false;
    rig.cycles(20);
    EXPECT_TRUE(rig.drives[kSpindle].commands.empty());
    rig.cycle();
    ASSERT_EQ(rig.drives[kSpindle].commands.size(), 1u);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    EXPECT_EQ(rig.state().moving, 0u);
}

// Hazard: on a machine that skips cycles all the time, the wait would begin anew for ever.
TEST(Start, WaitsNoLongerForASpeedWhereCyclesAreSkipped) {
    RobotRig rig;
    rig.drives[kSpindle].talks = false;
    for (int i = 0; i < 6; ++i) rig.cycle(4);
    EXPECT_EQ(rig.drives[kSpindle].commands.size(), 2u);
}

// Hazard: while the core stood still, the daemon has stopped the drives; what the core sent before would
// start them again.
TEST(Pause, UnderAStopGoesOnFromWhatTheDrivesDo) {
    RobotRig rig;
    rig.arm_and_turn();
    const std::size_t sent = rig.drives[kSpindle].commands.size();
    rig.drives[kSpindle].velocity = 10.0;
    rig.drives[kJoint].position = 0.2;
    rig.cycle();
    rig.drives[kSpindle].velocity = 1.0;  // by the daemon's frames, as the joint's place
    rig.drives[kJoint].position = 0.1;
    rig.latch(1);
    const std::size_t to_joint = rig.drives[kJoint].commands.size();
    rig.cycle(499);
    EXPECT_EQ(rig.drives[kSpindle].commands.size(), sent + 1) << "how fast it turns by now is not known";
    EXPECT_EQ(rig.drives[kJoint].commands.size(), to_joint);
    EXPECT_EQ(rig.state().estop_latch_seen, 0u);
    EXPECT_EQ(rig.state().moving, 1u);
    rig.cycle();
    EXPECT_EQ(rig.state().estop_latch_seen, 1u);
    EXPECT_NEAR(rig.sent(kSpindle), 1.0 - 0.04, kFloat);
    EXPECT_NEAR(rig.sent(kJoint), 0.1, kFloat);
}

// Hazard: the daemon has gone on with a stop that the core had carried out before it stood still.
TEST(Pause, UnderAStopThatWasCarriedOutLeavesItToTheDaemonMeanwhile) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.latch(1);
    rig.cycle();
    ASSERT_EQ(rig.state().estop_latch_seen, 1u);
    const std::uint64_t cycle = rig.state().estop_frame_cycle;
    rig.drives[kSpindle].velocity = 1.0;
    rig.cycle(499);
    EXPECT_EQ(rig.state().estop_latch_seen, 0u);
    rig.cycle();
    EXPECT_EQ(rig.state().estop_latch_seen, 1u);
    EXPECT_NEAR(rig.sent(kSpindle), 1.0 - 0.04, kFloat);
    EXPECT_EQ(rig.state().estop_frame_cycle, cycle) << "it was carried out then";
    // A joint whose place is not known any more is the daemon's too.
    rig.drives[kJoint].talks = false;
    rig.cycle(499);
    rig.cycles(5);
    EXPECT_EQ(rig.state().estop_latch_seen, 0u);
}

TEST(Pause, StartsFromNoPlaceOfBeforeHoweverLongItsAgeLimit) {
    RobotRig rig({}, "every_kind.toml", [](RobotConfig& robot) {
        for (StateChannel& state : robot.states) state.max_age_ns = 5'000 * kMs;
    });
    rig.arm_fully();
    rig.latch(1);
    const std::size_t sent = rig.drives[kJoint].commands.size();
    rig.cycle(499);
    EXPECT_EQ(rig.drives[kJoint].commands.size(), sent);
    rig.drives[kJoint].position = -0.5;
    rig.cycle();
    EXPECT_NEAR(rig.sent(kJoint), -0.5, kFloat);
}

TEST(Pause, TakesNoSampleThatWaitedForOneOfNow) {
    RobotRig rig;
    rig.arm_fully();
    const std::uint64_t stale = rig.counter(Counter::kStateStale);
    rig.cycle(20);
    EXPECT_EQ(rig.counter(Counter::kStateStale), stale + rig.config.states.size());
    rig.cycle();
    EXPECT_EQ(rig.counter(Counter::kStateStale), stale + rig.config.states.size());
}

TEST(Disarmed, IgnoresTheController) {
    RobotRig rig;
    rig.load_controller();
    rig.wish(kSpindle, 10.0);
    rig.setpoint.mono_ns = rig_clock();
    rig.cycles(50);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
}

TEST(Arm, EnablesEveryDriveAndFollowsTheController) {
    RobotRig rig;
    rig.arm_fully();
    for (const RigDrive& drive : rig.drives) EXPECT_EQ(drive.enable_frames, 1);
    rig.wish(kSpindle, 5.0);
    rig.wish(kJoint, 0.5);
    rig.wish(kGripper, 1.0);
    rig.cycles(1000);
    EXPECT_NEAR(rig.sent(kSpindle), 5.0, kFloat);
    EXPECT_NEAR(rig.sent(kJoint), 0.5, kFloat);
    EXPECT_NEAR(rig.sent(kGripper), 1.0, kFloat);
    EXPECT_EQ(rig.state().controller_state, shm::ControllerState::kRunning);
    EXPECT_EQ(rig.state().moving, 1u);
}

TEST(Arm, KeepsToTheRatesOfTheChannels) {
    RobotRig rig;
    rig.arm_fully();
    rig.wish(kSpindle, 20.0);
    const std::size_t first = rig.drives[kSpindle].commands.size();
    rig.cycles(300);
    const auto& sent = rig.drives[kSpindle].commands;
    for (std::size_t i = first; i < sent.size(); ++i) EXPECT_LE(sent[i] - sent[i - 1], 0.04 + kFloat);
    EXPECT_GT(rig.counter(Counter::kShieldRateLimited), 0u);
}

TEST(Arm, AChannelThatIsNotSetKeepsItsDefaultOrHolds) {
    RobotRig rig;
    rig.config.commands[kSpindle].default_value = 2.0;
    rig.arm_fully();
    rig.cycles(200);
    EXPECT_NEAR(rig.sent(kSpindle), 2.0, kFloat);
    EXPECT_NEAR(rig.sent(kJoint), 0.3, kFloat);
    EXPECT_EQ(rig.sent(kGripper), 0.0);
}

TEST(Arm, WaitsUntilEveryDriveIsInClosedLoop) {
    RobotRig rig;
    rig.drives[kGripper].obeys_enable = false;
    rig.load_controller();
    rig.wish(kSpindle, 5.0);
    rig.cycles(3);
    ASSERT_EQ(rig.arm(), 0u);
    rig.cycles(500);
    EXPECT_EQ(rig.mode(), Mode::kArmed);
    EXPECT_EQ(rig.sent(kSpindle), 0.0) << "moved before its drives were ready";
    EXPECT_GT(rig.drives[kGripper].enable_frames, 1) << "a lost enable frame is never sent again";
    rig.cycles(501);
    EXPECT_EQ(stop_reason(rig), StopReason::kDriveNotReady);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
}

TEST(Arm, WaitsTenHeartbeatsForASlowDrive) {
    RobotRig rig;
    rig.config.drives[kGripper].heartbeat_ns = 300 * kMs;
    rig.drives[kGripper].obeys_enable = false;
    rig.load_controller();
    rig.cycles(3);
    ASSERT_EQ(rig.arm(), 0u);
    rig.cycles(2900);
    EXPECT_EQ(rig.mode(), Mode::kArmed);
    rig.cycles(101);
    EXPECT_EQ(stop_reason(rig), StopReason::kDriveNotReady);
}

TEST(Arm, StartsFromTheMeasuredPosition) {
    RobotRig rig;
    rig.arm_fully();
    rig.exchange.request(Request::kDisarm);
    rig.cycles(5);
    rig.drives[kJoint].position = -0.5;  // pushed aside while it held 0.3
    rig.cycles(5);
    EXPECT_NEAR(rig.sent(kJoint), 0.3, kFloat);
    ASSERT_EQ(rig.arm(), 0u);
    EXPECT_NEAR(rig.sent(kJoint), -0.5, kFloat);
}

// What is measured of a spindle that coasts, or a broken encoder tells, is no wish.
void expect_armed_without_motion(RobotRig& rig) {
    rig.load_controller();
    rig.cycles(3);
    rig.drives[kSpindle].velocity = 5.0;
    rig.cycles(3);
    ASSERT_EQ(rig.arm(), 0u);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
}

TEST(Arm, MovesNoSpindleForItsMeasuredSpeed) {
    RobotRig rig;
    expect_armed_without_motion(rig);
}

TEST(Arm, MovesNoAxisWithAPlaceForItsMeasuredSpeed) {
    RobotRig rig({}, "every_kind.toml",
                 [](RobotConfig& robot) { robot.commands[kSpindle].position_state = kJointPosition; });
    expect_armed_without_motion(rig);
}

TEST(Arm, UsesNoSetpointFromBeforeIt) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.exchange.request(Request::kDisarm);
    rig.controller_runs = false;
    rig.cycles(10);
    rig.setpoint.mono_ns = rig_clock();  // computed while disarmed: a moment before arm
    rig.exchange.setpoint.writable() = rig.setpoint;
    rig.exchange.setpoint.publish();
    rig.cycles(300);
    rig.setpoint.mono_ns = rig_clock();
    rig.exchange.setpoint.writable() = rig.setpoint;
    rig.exchange.setpoint.publish();
    ASSERT_EQ(rig.arm(), 0u);
    rig.cycles(20);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    EXPECT_EQ(rig.counter(Counter::kSetpointStale), 0u);
}

TEST(Arm, IsRefusedWithEveryReason) {
    RobotRig rig({.degraded = false, .refused = true});
    rig.safety_beats = false;
    rig.drives[kGripper].axis_error = 0x10;
    rig.drives[kJoint].talks = false;
    rig.cycle();
    const std::uint32_t found = rig.arm();
    for (const Blocker blocker : {Blocker::kSafetySilent, Blocker::kNoController, Blocker::kRealtime,
                                  Blocker::kDriveError, Blocker::kStateStale}) {
        EXPECT_TRUE(has(found, blocker)) << static_cast<int>(blocker);
    }
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(rig.drives[kSpindle].enable_frames, 0);
}

TEST(Arm, IsRefusedForEachReasonAlone) {
    struct Case {
        Blocker blocker;
        void (*cause)(RobotRig&);
    };
    const Case cases[] = {
        {Blocker::kLatched, [](RobotRig& rig) { rig.latch(3); }},
        {Blocker::kSafetySilent,
         [](RobotRig& rig) {
             rig.safety_beats = false;
             rig.cycles(20);
         }},
        {Blocker::kNotPermitted, [](RobotRig& rig) { rig.safety.arm_permitted = 0; }},
        {Blocker::kNoController,
         [](RobotRig& rig) {
             rig.setpoint = {};
             rig.publish_setpoint();
         }},
        {Blocker::kControllerFaulted, [](RobotRig& rig) { rig.fault_controller(ControllerFault::kTrap); }},
        {Blocker::kDriveError, [](RobotRig& rig) { rig.drives[kJoint].axis_error = 1; }},
        {Blocker::kStateStale,
         [](RobotRig& rig) {
             rig.drives[kSpindle].talks = false;
             rig.cycles(21);
         }},
        {Blocker::kDriveSilent,
         [](RobotRig& rig) {
             rig.drives[kGripper].beats = false;
             rig.cycles(301);
         }},
    };
    for (const Case& c : cases) {
        RobotRig rig;
        rig.load_controller();
        rig.cycles(3);
        c.cause(rig);
        EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(c.blocker));
        EXPECT_FALSE(shm::is_armed(rig.mode()));
    }
    RobotRig armed;
    armed.arm_fully();
    EXPECT_EQ(armed.arm(), static_cast<std::uint32_t>(Blocker::kBusy));
}

TEST(Arm, LosesAgainstADisarmOfTheSameCycle) {
    RobotRig rig;
    rig.load_controller();
    rig.cycles(3);
    rig.exchange.request(Request::kDisarm);
    EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(Blocker::kBusy));
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
}

TEST(Disarm, StopsAlongTheDecelerationAndThenDisarms) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.exchange.request(Request::kDisarm);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(stop_reason(rig), StopReason::kOperator);
}

TEST(Disarm, WaitsForTheMeasuredStandstill) {
    RobotRig rig;
    rig.arm_fully();
    rig.drives[kSpindle].velocity = 3.0;
    rig.exchange.request(Request::kDisarm);
    rig.cycles(100);
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    EXPECT_EQ(rig.state().moving, 1u);
    rig.drives[kSpindle].velocity = 0.0;
    rig.cycles(2);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(rig.state().moving, 0u);
}

// Rules 3 and 4.
TEST(Estop, SendsSafeFramesInTheCycleThatSeesTheFlag) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.latch(5);
    rig.cycle();
    const shm::StateData state = rig.state();
    EXPECT_EQ(state.mode, Mode::kEstop);
    EXPECT_EQ(state.estop_latch_seen, 5u);
    EXPECT_EQ(state.estop_flag_seen_ns, rig_clock());
    EXPECT_EQ(state.estop_frame_sent_ns, rig_clock());
    EXPECT_EQ(state.estop_frame_cycle, 2u) << "set one period before the cycle that saw it";
    expect_spindle_decelerates_from_now(rig);
    EXPECT_NEAR(rig.sent(kJoint), 0.3, kFloat);
}

TEST(Estop, IsObeyedBeforeTheTimeOfTheStopIsPublished) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.safety_writer.segment().stop.store(6);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kEstop);
    EXPECT_EQ(rig.state().estop_latch_seen, 6u);
    EXPECT_EQ(rig.state().estop_frame_cycle, 0u);
    rig.safety.latch_sequence = 6;
    rig.safety.latch_mono_ns = rig_clock() - rig.config.tier1_period_ns() / 2;
    rig.cycle();
    EXPECT_EQ(rig.state().estop_frame_cycle, 1u);
}

TEST(Estop, IsNotAcknowledgedWhileAFrameDidNotLeave) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.hub.reset();
    rig.latch(5);
    rig.cycles(3);
    EXPECT_EQ(rig.mode(), Mode::kEstop);
    EXPECT_EQ(rig.state().estop_latch_seen, 0u);
    EXPECT_GT(rig.counter(Counter::kLinkSendErrors), 0u);
}

TEST(Estop, StandsWhenTheSafetyDaemonDies) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.latch(5);
    rig.cycle();
    rig.safety_beats = false;
    rig.cycles(100);
    EXPECT_EQ(rig.mode(), Mode::kEstop);
    EXPECT_TRUE(has(rig.arm(), Blocker::kLatched));
}

TEST(Estop, NothingMovesAfterTheResetUntilArm) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.latch(5);
    rig.cycles(300);
    rig.latch(0);
    rig.cycles(300);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(rig.state().estop_latch_seen, 0u);
    EXPECT_EQ(rig.sent(kSpindle), 0.0) << "the controller was resumed by the reset";
    ASSERT_EQ(rig.arm(), 0u);
    rig.cycles(300);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, kFloat);
}

TEST(Estop, ANewStopIsAcknowledgedByItsOwnNumber) {
    RobotRig rig;
    rig.latch(5);
    rig.cycles(3);
    rig.latch(6);
    rig.cycles(2);
    EXPECT_EQ(rig.state().estop_latch_seen, 6u);
}

// Rule 6.
TEST(Stale, SetpointBeyondItsAgeLimitGivesSafeFrames) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.controller_runs = false;
    const std::int64_t limit_ns = rig.config.controller_period_ns() * 5 / 2;
    while (rig_clock() + kMs - rig.setpoint.mono_ns <= limit_ns) rig.cycle();
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, kFloat);
    EXPECT_EQ(rig.counter(Counter::kSetpointStale), 0u);
    rig.cycle();
    EXPECT_EQ(rig.counter(Counter::kSetpointStale), 1u);
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.mode(), Mode::kHolding);
}

TEST(Stale, StateBecomesNaNForTheControllerAndStopsItsChannel) {
    RobotRig rig;
    rig.arm_fully();
    rig.wish(kJoint, -0.5);
    rig.wish(kSpindle, 5.0);
    rig.cycles(150);
    EXPECT_LT(rig.sent(kJoint), 0.29);
    const std::uint64_t stale = rig.counter(Counter::kStateStale);
    EXPECT_NEAR(rig.exchange.snapshot.latest().state[kJointPosition], 0.3, kFloat);
    rig.drives[kJoint].talks = false;
    rig.cycles(20);
    EXPECT_FALSE(std::isnan(rig.exchange.snapshot.latest().state[kJointPosition]));
    rig.cycle();
    EXPECT_TRUE(std::isnan(rig.exchange.snapshot.latest().state[kJointPosition]));
    EXPECT_FALSE(std::isnan(rig.exchange.snapshot.latest().state[kSpindleVelocity]));
    EXPECT_EQ(rig.counter(Counter::kStateStale), stale + 1);
    rig.cycles(500);
    const double stopped_at = rig.sent(kJoint);
    rig.cycles(100);
    EXPECT_EQ(rig.sent(kJoint), stopped_at);
    EXPECT_NEAR(rig.sent(kSpindle), 5.0, kFloat) << "a channel that needs no position stopped too";
}

// Rules 2, 3 and 8.
class ControllerFaultStops : public testing::TestWithParam<ControllerFault> {};
TEST_P(ControllerFaultStops, InTheCycleInWhichItIsKnown) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.fault_controller(GetParam());
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    EXPECT_EQ(rig.state().controller_fault, GetParam());
    EXPECT_EQ(rig.state().controller_state, shm::ControllerState::kFaulted);
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_TRUE(has(rig.arm(), Blocker::kControllerFaulted));
}
INSTANTIATE_TEST_SUITE_P(All, ControllerFaultStops,
                         testing::Values(ControllerFault::kTrap, ControllerFault::kOverrun,
                                         ControllerFault::kNotFinite, ControllerFault::kEstopRequest));

TEST(Unload, StopsARunningRobot) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.setpoint = {};
    rig.publish_setpoint();
    rig.cycle();
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(stop_reason(rig), StopReason::kNoController);
}

// Rule 4: the loss of a local heartbeat.
TEST(SafetySilence, OfTwentyCyclesStopsAndDisarms) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.safety_beats = false;
    rig.cycles(19);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_EQ(rig.counter(Counter::kSafetyBeatMissed), 18u);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.mode(), Mode::kDisarmed);
    EXPECT_EQ(stop_reason(rig), StopReason::kSafetySilent);
}

TEST(SafetySilence, LastsAsLongAsTheRobotSays) {
    RobotRig rig({}, "every_kind.toml", [](RobotConfig& robot) { robot.control.safety_silent_cycles = 50; });
    rig.arm_and_turn();
    rig.safety_beats = false;
    rig.cycles(49);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    rig.cycle();
    EXPECT_EQ(stop_reason(rig), StopReason::kSafetySilent);
}

TEST(SafetySilence, BeforeAnyDaemonIsSilenceToo) {
    RobotRig rig;
    rig.exchange.safety.store(nullptr);
    rig.load_controller();
    rig.cycles(3);
    EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(Blocker::kSafetySilent));
}

// Rule 7.
TEST(Overrun, SkipsAreCountedAndTooManyOfThemStop) {
    RobotRig rig;
    rig.arm_and_turn();
    for (int i = 0; i < 4; ++i) {
        rig.cycle(1);
        rig.cycles(3);
    }
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_EQ(rig.counter(Counter::kOverruns), 4u);
    EXPECT_EQ(rig.counter(Counter::kSkippedCycles), 4u);
    rig.cycle(2);
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    EXPECT_EQ(rig.counter(Counter::kSkippedCycles), 6u);
    EXPECT_EQ(stop_reason(rig), StopReason::kOverruns);
}

TEST(Overrun, FewInTheWindowDoNotStop) {
    RobotRig rig;
    rig.arm_and_turn();
    for (int i = 0; i < 12; ++i) {
        rig.cycle(1);
        rig.cycles(300);
    }
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_EQ(rig.counter(Counter::kOverruns), 12u);
}

TEST(DriveError, StopsTheRobot) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.drives[kJoint].axis_error = 0x40;
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    EXPECT_EQ(rig.counter(Counter::kDriveErrors), 1u);
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.counter(Counter::kDriveErrors), 1u) << "one error, counted once";
    rig.exchange.request(Request::kClearErrors);
    const int cleared = rig.drives[kJoint].clear_frames;
    rig.cycle();
    EXPECT_EQ(rig.drives[kJoint].clear_frames, cleared + 1);
}

TEST(DriveError, ADriveThatLeavesClosedLoopStopsTheRobot) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.drives[kGripper].axis_state = 1;
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    EXPECT_EQ(stop_reason(rig), StopReason::kDriveNotReady);
}

// A drive that has died keeps nothing: three heartbeats of 100 ms.
TEST(DriveSilence, StopsTheRobot) {
    RobotRig rig;
    rig.arm_and_turn();
    rig.drives[kGripper].beats = false;
    rig.cycles(300);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    rig.cycle();
    EXPECT_EQ(rig.mode(), Mode::kStopping);
    const auto event = rig.find_event(EventKind::kStopBegun);
    ASSERT_TRUE(event);
    EXPECT_EQ(static_cast<StopReason>(event->detail), StopReason::kDriveSilent);
    EXPECT_EQ(event->index, static_cast<std::int32_t>(kGripper));
    expect_spindle_decelerates_from_now(rig);
    EXPECT_EQ(rig.counter(Counter::kDriveSilences), 1u) << "one silence, counted once";
}

TEST(DriveSilence, OneThatWasNeverHeardOnlyKeepsTheRobotFromArming) {
    RobotRig rig;
    rig.drives[kGripper].beats = false;
    rig.load_controller();
    rig.cycles(500);
    EXPECT_EQ(rig.counter(Counter::kDriveSilences), 0u);
    EXPECT_FALSE(rig.find_event(EventKind::kDriveSilent));
    EXPECT_TRUE(has(rig.arm(), Blocker::kDriveSilent));
    rig.drives[kGripper].beats = true;
    rig.cycle();
    EXPECT_EQ(rig.arm(), 0u);
}

TEST(DriveSilence, CountsItsOwnHeartbeatPeriod) {
    RobotRig rig;
    rig.config.drives[kGripper].heartbeat_ns = 20 * kMs;
    rig.arm_fully();
    rig.drives[kGripper].beats = false;
    rig.cycles(60);
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    rig.cycle();
    EXPECT_EQ(stop_reason(rig), StopReason::kDriveSilent);
}

// A loop that stood still heard nothing of anybody: that is an overrun, and not three dead drives.
TEST(DriveSilence, IsNotAStallOfTheLoopItself) {
    RobotRig rig;
    rig.config.drives[kGripper].heartbeat_ns = 20 * kMs;
    rig.arm_fully();
    rig.drives[kGripper].beats = false;
    rig.cycle(500);
    EXPECT_TRUE(shm::is_armed(rig.mode()));
    EXPECT_EQ(rig.counter(Counter::kDriveSilences), 0u);
}

TEST(Shutdown, IdlesEveryDrive) {
    RobotRig rig;
    rig.arm_fully();
    rig.exchange.request(Request::kDisarm);
    rig.cycles(3);
    rig.exchange.request(Request::kIdleDrives);
    rig.cycles(6);
    for (const RigDrive& drive : rig.drives) EXPECT_EQ(drive.idle_frames, 2);
}

TEST(Epoch, AdvancesOncePerMillisecondThatRan) {
    RobotRig rig;
    rig.cycles(50);
    rig.cycle(100);  // a stalled machine is no reason to stop a controller
    EXPECT_EQ(rig.engine.epochs, 51);
}

TEST(Segment, ShowsWhatTheLoopDoes) {
    RobotRig rig({.degraded = true, .refused = false});
    rig.cycles(4);
    const shm::StateData state = rig.state();
    EXPECT_EQ(state.boot_id, 7u);
    EXPECT_EQ(state.cycle, 4u);
    EXPECT_EQ(state.mono_ns, rig_clock());
    EXPECT_EQ(state.realtime_degraded, 1u);
    EXPECT_NEAR(state.state[kJointPosition], 0.3, kFloat);
    EXPECT_EQ(state.state_mono_ns[kJointPosition], rig_clock());
    EXPECT_NEAR(state.sent[kJoint], 0.3, kFloat);
    EXPECT_EQ(rig.state_reader.segment().wake.count.load(), 4u);
    EXPECT_EQ(rig.state_reader.segment().cycle.count.load(), 4u);
    EXPECT_EQ(rig.counter(Counter::kFramesReceived), 24u);
}

// Hazard: the stop comes while a slow CiA 402 drive is on its way into operation.
TEST(Enabling, EndsWithTheStop) {
    constexpr std::uint32_t kNode = 9;
    RobotRig rig({}, "every_kind.toml", [](RobotConfig& robot) {
        robot.drives[kJoint].profile = "cia402";
        robot.drives[kJoint].node = kNode;
        robot.drives[kJoint].counts_per_turn = 1000.0;
    });
    rig.drives[kJoint].talks = rig.drives[kJoint].beats = false;
    // The drive says that it is in `state`; returns the control word that it gets.
    const auto word_for = [&rig](cia402::State state) {
        (void)rig.hub->send({.id = cia402::kHeartbeat + kNode, .size = 1, .data = {0x05}});
        CanFrame status{.id = cia402::kTpdo1 + kNode, .size = cia402::kTpdo1Size};
        put_u16(status, 0, cia402::status_word_of(state));
        status.data[2] = static_cast<std::uint8_t>(cia402::Mode::kCyclicPosition);
        (void)rig.hub->send(status);
        rig.foreign_frames.clear();
        rig.cycle();
        for (const CanFrame& frame : rig.foreign_frames)
            if (frame.id == cia402::kRpdo1 + kNode) return int{get_u16(frame, 0)};
        return -1;
    };
    rig.load_controller();
    for (int i = 0; i < 5; ++i) (void)word_for(cia402::State::kSwitchOnDisabled);
    ASSERT_EQ(rig.arm(), 0u);
    for (int i = 0; i < 3; ++i) (void)word_for(cia402::State::kSwitchOnDisabled);
    ASSERT_EQ(word_for(cia402::State::kSwitchOnDisabled), 0x06) << "the walk has not begun";
    ASSERT_EQ(word_for(cia402::State::kReadyToSwitchOn), 0x07);
    rig.latch(1);
    for (int i = 0; i < 200; ++i) ASSERT_EQ(word_for(cia402::State::kSwitchedOn), 0x07) << i;
    EXPECT_EQ(rig.mode(), shm::Mode::kEstop);
}

}  // namespace
}  // namespace holdfast::core
