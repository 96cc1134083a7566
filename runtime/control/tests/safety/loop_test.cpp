// The daemon's period, without its threads: a core that is a segment in memory, drives that are a hub in a
// folder.
#include "safety/loop.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "drive/cansimple.hpp"
#include "drive/cia402.hpp"
#include "temporary_directory.hpp"
#include "test_robot.hpp"

namespace holdfast::safety {
namespace {

constexpr std::int64_t kPeriodNs = 1'000'000;

// Wires whose levels the test sets.
class FakeLines final : public Lines {
  public:
    [[nodiscard]] EstopReading read_estop() override { return estop; }
    [[nodiscard]] bool set_enable(bool high) override {
        levels.push_back(high);
        return !broken;
    }
    EstopReading estop{};
    std::vector<bool> levels;  // of the enable line, each time it was told
    bool broken{false};
};

constexpr std::size_t kJoint = 0, kSpindle = 1, kGripper = 2;

FileDescriptor duplicate(int fd) { return FileDescriptor(::dup(fd)); }

class LoopTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(latch_event_);
        mailbox_.worker_attached = true;
        mailbox_.recorded = LatchWord();
        loop_.emplace(config_, State{}, segment_, frames_, mailbox_, latch_event_.get(),
                      Loop::Outside{.lines = lines_, .enable_pulses = false, .evidence = nullptr});
        core_data_.boot_id = 1;
        taken();  // the drives learn who listens
    }

    // The daemon begins anew, with another configuration.
    void restart(bool enable_pulses = false, EvidenceRing* evidence = nullptr) {
        loop_.emplace(config_, State{}, segment_, frames_, mailbox_, latch_event_.get(),
                      Loop::Outside{.lines = lines_, .enable_pulses = enable_pulses, .evidence = evidence});
    }
    void drive_heartbeat(std::size_t drive, std::uint32_t axis_error) {
        CanFrame frame{.id = cansimple::frame_id(robot_.drives[drive].node, cansimple::Command::kHeartbeat),
                       .size = 8};
        cansimple::put_u32(frame, 0, axis_error);
        ASSERT_EQ(hub_->send(frame), LinkResult::kOk);
    }

    // The core is there, with a sample that says what it sent and measured.
    void attach_core() {
        reader_.emplace(StateReader::map(duplicate(core_.fd())).value());
        mailbox_.core_sample = &*reader_;
        mailbox_.core_attached = true;
    }

    void core_beats() {
        ++core_data_.cycle;
        core_data_.mono_ns = now_ns_;
        core_.publish(core_data_);
    }

    void core_sends(double joint, double spindle, double gripper) {
        core_data_.sent[kJoint] = joint;
        core_data_.sent[kSpindle] = spindle;
        core_data_.sent[kGripper] = gripper;
    }

    void core_measures(double joint) {
        core_data_.state[0] = joint;
        core_data_.state_mono_ns[0] = now_ns_;
    }

    void drive_reports(std::size_t drive, double position, double velocity) {
        CanFrame frame{
            .id = cansimple::frame_id(robot_.drives[drive].node, cansimple::Command::kGetEncoderEstimates),
            .size = 8};
        cansimple::put_f32(frame, 0, static_cast<float>(position * 2.0));
        cansimple::put_f32(frame, 4, static_cast<float>(velocity * 2.0));
        ASSERT_EQ(hub_->send(frame), LinkResult::kOk);
    }

    void cycle() {
        now_ns_ += kPeriodNs;
        mailbox_.worker_beats.fetch_add(1);
        loop_->cycle(now_ns_);
    }
    void cycle_with_core() {
        core_beats();
        cycle();
    }
    void stop() { mailbox_.operator_stops.fetch_add(1); }

    // What each drive was sent since the last call, in channel units; empty: nothing.
    std::map<std::size_t, double> taken() {
        std::map<std::size_t, double> values;
        CanFrame frame;
        while (hub_->receive(frame) == LinkResult::kOk) {
            const std::size_t drive = cansimple::node_of(frame) - 1;
            const bool effort = cansimple::command_of(frame) == cansimple::Command::kSetInputTorque;
            const double unit = effort ? cansimple::torque_per_effort(2.0) : 2.0;
            values[drive] = cansimple::get_f32(frame, 0) / unit;
        }
        return values;
    }

    // A core that is at work: joint at 1 rad, moving at 1 rad/s; spindle at 10 rad/s; gripper at 1 N.
    void run_core() {
        attach_core();
        double joint = 0.99;
        for (int i = 0; i < 10; ++i) {
            joint += 0.001;
            core_sends(joint, 10.0, 1.0);
            core_measures(joint);
            cycle_with_core();
        }
        ASSERT_TRUE(taken().empty());
    }

    shm::SafetyData published() {
        shm::SafetyData data{};
        EXPECT_TRUE(published_.read(data));
        return data;
    }
    std::uint64_t flag() { return published_.segment().stop.load(); }
    bool latch_event() {
        std::uint64_t count = 0;
        return ::read(latch_event_.get(), &count, sizeof count) == sizeof count;
    }

    TemporaryDirectory run_;
    RobotConfig robot_ = test_robot();
    std::unique_ptr<Link> hub_ = std::move(open_drive_side("unix:plant.sock", run_.path()).value());
    StopFrames frames_ = std::move(StopFrames::open(robot_, run_.path()).value());
    shm::Writer<shm::SafetySegment> segment_ = std::move(shm::Writer<shm::SafetySegment>::create().value());
    shm::Reader<shm::SafetySegment> published_ =
        std::move(shm::Reader<shm::SafetySegment>::map(duplicate(segment_.fd())).value());
    shm::Writer<shm::StateSegment> core_ = std::move(shm::Writer<shm::StateSegment>::create().value());
    shm::StateData core_data_{};
    std::optional<StateReader> reader_;
    Mailbox mailbox_;
    FileDescriptor latch_event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    KernelConfig config_{.period_ns = kPeriodNs,
                         .core_timeout_ns = 5 * kPeriodNs,
                         .worker_timeout_ns = 500 * kPeriodNs,
                         .worker_required = true,
                         .realtime_missing = false};
    FakeLines lines_;
    std::optional<Loop> loop_;
    std::int64_t now_ns_{1'000'000'000};
};

TEST_F(LoopTest, PublishesItsBeatEachPeriod) {
    for (std::uint64_t beat = 1; beat <= 5; ++beat) {
        cycle();
        EXPECT_EQ(published().beat, beat);
        EXPECT_EQ(published().mono_ns, now_ns_);
        EXPECT_EQ(mailbox_.periods.load(), beat);
    }
    EXPECT_EQ(flag(), 0u);
}

TEST_F(LoopTest, PermitsArmingOnceACoreBeats) {
    cycle();
    EXPECT_EQ(published().arm_permitted, 0u);
    attach_core();
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(published().arm_permitted, 1u);
}

TEST_F(LoopTest, FirstSampleOfACoreIsNoBeat) {
    core_beats();  // then it hung, and attaches
    attach_core();
    for (int i = 0; i < 10; ++i) {
        cycle();
        EXPECT_EQ(published().arm_permitted, 0u);
    }
}

TEST_F(LoopTest, SampleOfTheNextCoreIsComparedWithItsOwn) {
    run_core();
    auto next = std::move(shm::Writer<shm::StateSegment>::create().value());
    shm::StateData sample{};
    sample.boot_id = 2;
    sample.cycle = 1;
    sample.mono_ns = 77;
    next.publish(sample);
    const auto next_reader = std::move(StateReader::map(duplicate(next.fd())).value());
    mailbox_.core_losses.fetch_add(1);
    cycle();
    mailbox_.core_sample = &next_reader;
    cycle();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kCoreLost);
    sample.mono_ns = 78;
    next.publish(sample);
    cycle();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kNone);
}

TEST_F(LoopTest, StopRaisesTheFlagAndTellsTheRecorder) {
    cycle();
    EXPECT_TRUE(latch_event());  // the first period is news
    cycle();
    EXPECT_FALSE(latch_event());
    stop();
    cycle();
    EXPECT_EQ(flag(), 1u);
    EXPECT_EQ(published().latch_sequence, 1u);
    EXPECT_EQ(published().latch_mono_ns, now_ns_);
    EXPECT_EQ(published().cause, StopCause::kOperator);
    EXPECT_EQ(mailbox_.latch.load(), LatchWord(1, StopCause::kOperator));
    EXPECT_EQ(mailbox_.last_sequence.load(), 1u);
    EXPECT_EQ(mailbox_.operator_stops_taken.load(), 1u);
    EXPECT_TRUE(latch_event());
}

TEST_F(LoopTest, ResetClearsTheFlag) {
    stop();
    cycle();
    mailbox_.resets.fetch_add(1);
    cycle();
    EXPECT_EQ(flag(), 0u);
    EXPECT_EQ(published().latch_sequence, 0u);
    EXPECT_EQ(mailbox_.resets_decided.load(), 1u);
    EXPECT_TRUE(mailbox_.reset_granted.load());
}

TEST_F(LoopTest, ResetIsRefusedWhileTheCoreStillMoves) {
    run_core();
    core_data_.mode = shm::Mode::kRunning;
    cycle_with_core();
    stop();
    cycle();
    mailbox_.resets.fetch_add(1);
    cycle();
    EXPECT_FALSE(mailbox_.reset_granted.load());
    EXPECT_EQ(mailbox_.reset_refused_for.load(), StopCause::kNone);
    EXPECT_EQ(flag(), 1u);
    core_data_.mode = shm::Mode::kEstop;
    core_beats();
    mailbox_.resets.fetch_add(1);
    cycle();
    EXPECT_TRUE(mailbox_.reset_granted.load());
    EXPECT_EQ(flag(), 0u);
}

TEST_F(LoopTest, PermitsArmingOnceTheRecordSaysWhatTheLatchSays) {
    run_core();
    ASSERT_EQ(published().arm_permitted, 1u);
    mailbox_.recorded = LatchWord::unknown();
    cycle_with_core();
    EXPECT_EQ(published().arm_permitted, 0u) << "it could not be written";
    mailbox_.recorded = LatchWord();
    cycle_with_core();
    EXPECT_EQ(published().arm_permitted, 1u);
    stop();
    cycle_with_core();
    mailbox_.recorded = LatchWord(1, StopCause::kOperator);
    mailbox_.resets.fetch_add(1);
    cycle_with_core();
    ASSERT_EQ(flag(), 0u);
    cycle_with_core();
    EXPECT_EQ(published().arm_permitted, 0u) << "the file still says stopped";
    mailbox_.recorded = LatchWord();
    cycle_with_core();
    EXPECT_EQ(published().arm_permitted, 1u);
}

TEST_F(LoopTest, StopThatOnlyTheCoreKnowsStandsAgain) {
    cycle();
    mailbox_.lost_stop = 5;
    cycle();
    EXPECT_EQ(flag(), 6u);
    EXPECT_EQ(published().cause, StopCause::kStateRecordUnreadable);
    mailbox_.resets.fetch_add(1);
    cycle();
    EXPECT_EQ(flag(), 0u) << "it is told once";
}

TEST_F(LoopTest, RefusedResetNamesItsCause) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    mailbox_.resets.fetch_add(1);
    cycle();
    EXPECT_FALSE(mailbox_.reset_granted.load());
    EXPECT_EQ(mailbox_.reset_refused_for.load(), StopCause::kCoreLost);
    EXPECT_EQ(flag(), 1u);
}

TEST_F(LoopTest, NoStopFramesWithoutAStop) {
    run_core();
    for (int i = 0; i < 4; ++i) cycle();  // silent, not yet lost
    EXPECT_TRUE(taken().empty());
    EXPECT_EQ(mailbox_.stop_frames_sent.load(), 0u);
}

TEST_F(LoopTest, SendsStopFramesUntilTheCoreShowsThatItObeys) {
    run_core();
    stop();
    cycle_with_core();
    EXPECT_EQ(taken().size(), 3u);
    cycle_with_core();
    EXPECT_EQ(taken().size(), 3u);
    core_data_.estop_latch_seen = 1;
    cycle_with_core();
    EXPECT_TRUE(taken().empty());
    EXPECT_EQ(mailbox_.stop_frames_sent.load(), 6u);
}

// A living core asks CiA 402 drives for their feedback, under a stop too: both asking would double the
// answers.
TEST_F(LoopTest, AsksForFeedbackOnlyInPlaceOfADeadCore) {
    robot_.drives[kSpindle].profile = "cia402";
    robot_.drives[kSpindle].node = 9;
    robot_.drives[kSpindle].counts_per_turn = 1000.0;
    frames_ = std::move(StopFrames::open(robot_, run_.path()).value());
    const auto syncs = [this] {
        int count = 0;
        CanFrame frame;
        while (hub_->receive(frame) == LinkResult::kOk) count += frame.id == cia402::kSyncId ? 1 : 0;
        return count;
    };
    run_core();
    stop();
    for (int i = 0; i < 50; ++i) {  // it lives, and does not show that it obeys
        cycle_with_core();
        ASSERT_EQ(syncs(), 0) << i;
    }
    ASSERT_GT(frames_.counts().sent, 100u);
    for (int i = 0; i < 200 && syncs() == 0; ++i) cycle();
    cycle();
    EXPECT_EQ(syncs(), 1);
}

TEST_F(LoopTest, CoreThatObeyedAnOlderStopDoesNotObeyThisOne) {
    run_core();
    stop();
    core_data_.estop_latch_seen = 1;
    cycle_with_core();
    mailbox_.resets.fetch_add(1);
    cycle_with_core();
    ASSERT_EQ(flag(), 0u);
    taken();
    stop();
    cycle_with_core();
    EXPECT_EQ(flag(), 2u);
    EXPECT_EQ(taken().size(), 3u);
}

TEST_F(LoopTest, SendsAgainWhenTheObeyingCoreDies) {
    run_core();
    stop();
    core_data_.estop_latch_seen = 1;
    cycle_with_core();
    cycle_with_core();
    taken();
    for (int i = 0; i < 4; ++i) {
        cycle();
        EXPECT_TRUE(taken().empty());
    }
    cycle();
    EXPECT_EQ(taken().size(), 3u);
}

TEST_F(LoopTest, LostCoreIsReplacedInTheSamePeriod) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    EXPECT_EQ(flag(), 1u);
    EXPECT_EQ(taken().size(), 3u);
}

TEST_F(LoopTest, PositionDeceleratesThenHoldsWhereItIs) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    double last = core_data_.sent[kJoint], rate = 1.0;
    for (int i = 0; i < 500; ++i) {
        drive_reports(kJoint, last, 0.0);
        cycle();
        const double value = taken().at(kJoint);
        const double new_rate = (value - last) / 1e-3;
        EXPECT_LE(std::abs(new_rate - rate), 10.0 * 1e-3 + 1e-3)
            << i;  // max_accel, and what a float32 rounds
        last = value;
        rate = new_rate;
    }
    EXPECT_NEAR(last, core_data_.sent[kJoint] + 1.0 / (2.0 * 10.0),
                5e-3);  // v^2 / 2a further on: never the origin
    EXPECT_NEAR(rate, 0.0, 1e-3);
}

TEST_F(LoopTest, VelocityGoesToZeroAlongItsDeceleration) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    double expected = 10.0;
    for (int i = 0; i < 300; ++i) {
        cycle();
        expected = std::max(0.0, expected - 40.0 * 1e-3);
        EXPECT_NEAR(taken().at(kSpindle), expected, 1e-4) << i;
    }
    EXPECT_EQ(expected, 0.0);
}

TEST_F(LoopTest, EffortGoesToZeroAtOnce) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    EXPECT_EQ(taken().at(kGripper), 0.0);
}

TEST_F(LoopTest, LateWakeOfTheDaemonMakesNoJump) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    const double before = taken().at(kJoint);
    drive_reports(kJoint, before - 0.5, 0.0);  // and that waits in the queue
    now_ns_ += 2'000'000'000;
    cycle();
    EXPECT_FALSE(taken().contains(kJoint)) << "where the joint is by now is not known";
    drive_reports(kJoint, before + 0.25, 0.0);
    cycle();
    EXPECT_NEAR(taken().at(kJoint), before + 0.25, 1e-5);
}

TEST_F(LoopTest, LateWakeOfTheDaemonGoesOnWithADriveThatNeverTells) {
    run_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    now_ns_ += 2'000'000'000;
    cycle();
    EXPECT_NEAR(taken().at(kSpindle), 10.0 - 0.04 - 40.0 * kMaxStepS, 1e-4);
}

TEST_F(LoopTest, LateWakeOfTheDaemonMakesATurningDriveNotFaster) {
    run_core();
    drive_reports(kSpindle, 0.0, 10.0);
    mailbox_.core_losses.fetch_add(1);
    cycle();
    taken();
    now_ns_ += 2'000'000'000;
    cycle();
    EXPECT_FALSE(taken().contains(kSpindle));
    drive_reports(kSpindle, 0.0, 3.0);  // somebody has slowed it down
    cycle();
    EXPECT_NEAR(taken().at(kSpindle), 3.0 - 0.04, 1e-5);
}

TEST_F(LoopTest, WithoutACoreItHoldsWhatTheDrivesReport) {
    cycle();
    drive_reports(kJoint, 1.25, 0.0);
    drive_reports(kSpindle, 0.0, -8.0);
    stop();
    cycle();
    const auto values = taken();
    EXPECT_NEAR(values.at(kJoint), 1.25, 1e-6);
    EXPECT_NEAR(values.at(kSpindle), -8.0 + 0.04, 1e-5);
    EXPECT_EQ(values.at(kGripper), 0.0);
}

TEST_F(LoopTest, WhatTheDrivesReportedLongBeforeTheStartIsNoMeasurement) {
    drive_reports(kJoint, 1.25, 0.0);
    stop();
    cycle();
    EXPECT_FALSE(taken().contains(kJoint));
    drive_reports(kJoint, 1.5, 0.0);
    cycle();
    EXPECT_NEAR(taken().at(kJoint), 1.5, 1e-6);
}

TEST_F(LoopTest, PositionThatNobodyKnowsIsWithheldAndCounted) {
    stop();
    cycle();
    const auto values = taken();
    EXPECT_FALSE(values.contains(kJoint));
    EXPECT_TRUE(values.contains(kGripper));
    EXPECT_EQ(mailbox_.stop_frames_withheld.load(), 2u) << "the joint, and the spindle that may turn";
}

// Hazard: a daemon that starts beside a turning spindle would stop it at once.
TEST_F(LoopTest, VelocityIsAwaitedForAMomentAndThenTakenForZero) {
    stop();
    for (int i = 0; i < 20; ++i) {
        cycle();
        EXPECT_FALSE(taken().contains(kSpindle)) << i;
    }
    cycle();
    EXPECT_EQ(taken().at(kSpindle), 0.0);
    drive_reports(kSpindle, 0.0, 10.0);
    cycle();
    EXPECT_EQ(taken().at(kSpindle), 0.0) << "a stop goes on from what it has sent";
}

TEST_F(LoopTest, ZeroThatTheCoreNeverMeasuredIsNoPlaceToHold) {
    attach_core();
    core_sends(0.0, 0.0, 0.0);
    for (int i = 0; i < 5; ++i) cycle_with_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    EXPECT_FALSE(taken().contains(kJoint));
    drive_reports(kJoint, 1.25, 0.0);
    cycle();
    EXPECT_NEAR(taken().at(kJoint), 1.25, 1e-6);
}

TEST_F(LoopTest, WhatIsNotFiniteInTheCoresSampleIsNotFollowed) {
    run_core();
    core_sends(std::nan(""), std::nan(""), std::nan(""));
    cycle_with_core();
    mailbox_.core_losses.fetch_add(1);
    cycle();
    const auto values = taken();
    EXPECT_NEAR(values.at(kJoint), 1.0, 0.01);
    EXPECT_NEAR(values.at(kSpindle), 10.0, 0.1);
}

TEST_F(LoopTest, DeadLinkIsCountedAndDoesNotHoldTheLoop) {
    run_core();
    hub_.reset();
    stop();
    cycle();
    EXPECT_EQ(flag(), 1u);
    EXPECT_EQ(mailbox_.stop_frames_failed.load(), 3u);
}

TEST_F(LoopTest, CoreThatDetachesWhileArmedIsAStop) {
    run_core();
    core_data_.mode = shm::Mode::kArmed;
    cycle_with_core();
    mailbox_.core_attached = false;
    cycle();
    EXPECT_EQ(published().cause, StopCause::kCoreLost);
    EXPECT_EQ(taken().size(), 3u);
}

TEST_F(LoopTest, StoppingIsStillArmed) {
    run_core();
    core_data_.mode = shm::Mode::kStopping;
    cycle_with_core();
    mailbox_.core_attached = false;
    cycle();
    EXPECT_EQ(published().cause, StopCause::kCoreLost);
}

TEST_F(LoopTest, FaultOfTheControllerStops) {
    run_core();
    core_data_.controller_fault = shm::ControllerFault::kNotFinite;
    cycle_with_core();
    EXPECT_EQ(published().cause, StopCause::kControllerNotFinite);
}

TEST_F(LoopTest, CoreThatLeftInGoodOrderTakesItsFaultAlong) {
    run_core();
    core_data_.controller_fault = shm::ControllerFault::kEstopRequest;
    cycle_with_core();
    mailbox_.core_attached = false;
    cycle();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kNone);
}

TEST_F(LoopTest, SilentWorkerStops) {
    run_core();
    for (int i = 0; i < 499; ++i) {
        core_beats();
        now_ns_ += kPeriodNs;
        loop_->cycle(now_ns_);
    }
    EXPECT_EQ(flag(), 0u);
    core_beats();
    loop_->cycle(now_ns_ += kPeriodNs);
    EXPECT_EQ(published().cause, StopCause::kWorkerLost);
}

TEST_F(LoopTest, UnreadableRecordIsAStopUntilItIsMended) {
    mailbox_.record_unreadable = true;
    cycle();
    EXPECT_EQ(published().cause, StopCause::kStateRecordUnreadable);
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kStateRecordUnreadable);
    mailbox_.record_unreadable = false;
    cycle();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kNone);
    EXPECT_EQ(flag(), 1u);
}

TEST_F(LoopTest, ContactsAreLookedAtInEachPeriod) {
    config_.estop_lines = true;
    config_.estop_discrepancy_ns = 10 * kPeriodNs;
    restart();
    run_core();
    EXPECT_EQ(flag(), 0u);
    lines_.estop.open = {false, true};
    cycle_with_core();
    EXPECT_EQ(flag(), 1u);
    EXPECT_EQ(published().cause, StopCause::kEstopLine);
    EXPECT_EQ(mailbox_.estop_open.load(), 2u);
    EXPECT_EQ(taken().size(), 3u) << "the daemon's own stop frames, in the same period";
    lines_.estop.readable = false;
    cycle_with_core();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kEstopLineUnreadable);
    EXPECT_FALSE(mailbox_.estop_readable.load());
}

TEST_F(LoopTest, EnableLineFollowsThePermission) {
    config_.enable_line = true;
    restart();
    cycle();
    EXPECT_EQ(lines_.levels, std::vector<bool>{false}) << "the first thing it is told";
    attach_core();
    cycle_with_core();
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(lines_.levels, (std::vector<bool>{false, true})) << "told when it changes";
    EXPECT_TRUE(mailbox_.enable.load());
    stop();
    cycle_with_core();
    EXPECT_EQ(lines_.levels, (std::vector<bool>{false, true, false}));
    EXPECT_FALSE(mailbox_.enable.load());
}

TEST_F(LoopTest, EnableLineFallsForADeadCore) {
    config_.enable_line = true;
    restart();
    run_core();
    ASSERT_TRUE(lines_.levels.back());
    for (int i = 0; i < 5; ++i) cycle();
    EXPECT_FALSE(lines_.levels.back());
}

TEST_F(LoopTest, EnableLineCanPulseAndIsStillUnderAStop) {
    config_.enable_line = true;
    restart(true);
    run_core();
    lines_.levels.clear();
    for (int i = 0; i < 4; ++i) cycle_with_core();
    ASSERT_EQ(lines_.levels.size(), 4u);
    for (std::size_t i = 1; i < 4; ++i) EXPECT_NE(lines_.levels[i], lines_.levels[i - 1]);
    stop();
    cycle_with_core();
    lines_.levels.clear();
    for (int i = 0; i < 4; ++i) cycle_with_core();
    for (const bool level : lines_.levels) EXPECT_FALSE(level);
}

TEST_F(LoopTest, EnableLineThatDoesNotObeyIsAStopAndIsToldAgain) {
    config_.enable_line = true;
    restart();
    run_core();
    lines_.broken = true;
    stop();
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kEnableLineFailed);
    lines_.levels.clear();
    cycle_with_core();
    EXPECT_EQ(lines_.levels, std::vector<bool>{false}) << "until it does";
    lines_.broken = false;
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kNone);
}

TEST_F(LoopTest, ARobotWithoutAnEnableLineTellsNone) {
    run_core();
    stop();
    cycle();
    EXPECT_TRUE(lines_.levels.empty());
}

TEST_F(LoopTest, DriveErrorOnTheBusStopsAnArmedRobot) {
    config_.drive_faults = Reaction::kStop;
    restart();
    run_core();
    drive_heartbeat(kSpindle, 0x40);
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(flag(), 0u) << "at rest the core refuses to arm";
    core_data_.mode = shm::Mode::kArmed;
    cycle_with_core();
    EXPECT_EQ(published().cause, StopCause::kDriveFault);
    core_data_.mode = shm::Mode::kEstop;
    cycle_with_core();
    mailbox_.resets.fetch_add(1);
    cycle_with_core();
    EXPECT_EQ(mailbox_.reset_refused_for.load(), StopCause::kDriveFault);
    drive_heartbeat(kSpindle, 0);
    cycle_with_core();
    cycle_with_core();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kNone);
}

TEST_F(LoopTest, DriveErrorThatOnlyTheCoreHeardStopsToo) {
    config_.drive_faults = Reaction::kStop;
    restart();
    core_data_.mode = shm::Mode::kArmed;
    run_core();
    ASSERT_EQ(flag(), 0u);
    ++core_data_.counters[static_cast<std::size_t>(shm::Counter::kDriveErrors)];
    cycle_with_core();
    EXPECT_EQ(published().cause, StopCause::kDriveFault);
}

TEST_F(LoopTest, OverrunsOfTheCoreAreCountedFromItsSegment) {
    config_.core_overruns = Reaction::kStop;
    config_.overrun_limit = 3;
    config_.overrun_window_ns = 80 * kPeriodNs;
    restart();
    constexpr auto kOverruns = static_cast<std::size_t>(shm::Counter::kOverruns);
    core_data_.counters[kOverruns] = 1'000;  // before this daemon came
    core_data_.mode = shm::Mode::kArmed;
    run_core();
    ASSERT_EQ(flag(), 0u);
    core_data_.counters[kOverruns] += 2;
    cycle_with_core();
    EXPECT_EQ(flag(), 0u);
    core_data_.counters[kOverruns] += 1;
    cycle_with_core();
    EXPECT_EQ(published().cause, StopCause::kCoreOverruns);
}

TEST_F(LoopTest, OverrunsOfAnotherCoreAreNotComparedWithItsPredecessors) {
    config_.core_overruns = Reaction::kStop;
    config_.overrun_limit = 3;
    config_.overrun_window_ns = 80 * kPeriodNs;
    restart();
    core_data_.mode = shm::Mode::kArmed;
    run_core();
    core_data_.boot_id = 2;
    core_data_.counters[static_cast<std::size_t>(shm::Counter::kOverruns)] = 50;
    cycle_with_core();
    EXPECT_EQ(flag(), 0u);
}

TEST_F(LoopTest, HealthIsJudgedFromTheSample) {
    config_.temperature = {Reaction::kStop, 95'000, 90'000, false};
    config_.memory_pressure = {Reaction::kWarn, 5'000, 2'500, false};
    config_.health_max_age_ns = 20 * kPeriodNs;
    restart();
    run_core();
    mailbox_.memory_pressure = 6'000;
    mailbox_.temperature = 94'999;
    mailbox_.health_samples.fetch_add(1);
    cycle_with_core();
    EXPECT_EQ(flag(), 0u);
    EXPECT_EQ(mailbox_.warnings.load(), 1u << static_cast<std::uint32_t>(StopCause::kMemoryPressure));
    for (int i = 0; i < 19; ++i) cycle_with_core();
    EXPECT_EQ(flag(), 0u);
    cycle_with_core();
    EXPECT_EQ(published().cause, StopCause::kHealthUnreadable) << "the sampling thread hangs";
    mailbox_.temperature = 95'000;
    mailbox_.health_samples.fetch_add(1);
    cycle_with_core();
    EXPECT_EQ(mailbox_.standing.load(), StopCause::kTemperature);
}

TEST_F(LoopTest, EachPeriodLeavesAnEntryOfEvidence) {
    auto ring = std::move(EvidenceRing::open(run_.path() / "evidence.ring").value());
    restart(false, &ring);
    core_data_.mode = shm::Mode::kArmed;
    run_core();
    core_data_.wake_latency_ns = 7'000;
    core_data_.cycle_time_ns = 42'000;
    stop();
    cycle_with_core();
    EXPECT_EQ(ring.last(), 11u);
    const EvidenceEntry before = ring.entry(10).value();
    const EvidenceEntry entry = ring.entry(11).value();
    EXPECT_EQ(entry.mono_ns, now_ns_);
    EXPECT_EQ(before.latch_sequence, 0u);
    EXPECT_EQ(entry.latch_sequence, 1u);
    EXPECT_EQ(static_cast<StopCause>(entry.cause), StopCause::kOperator);
    EXPECT_EQ(static_cast<shm::Mode>(entry.core_mode), shm::Mode::kArmed);
    EXPECT_EQ(entry.core_cycle, core_data_.cycle);
    EXPECT_EQ(entry.core_wake_latency_ns, 7'000);
    EXPECT_EQ(entry.core_cycle_time_ns, 42'000);
    EXPECT_EQ(entry.sent[kSpindle], 10.0);
    EXPECT_EQ(entry.state[0], core_data_.state[0]);
    for (const EvidenceFlag flag :
         {EvidenceFlag::kOperatorStop, EvidenceFlag::kStopTaken, EvidenceFlag::kStopFrames}) {
        EXPECT_NE(entry.flags & bit(flag), 0u) << static_cast<int>(flag);
        EXPECT_EQ(before.flags & bit(flag), 0u) << static_cast<int>(flag);
    }
    EXPECT_NE(entry.flags & bit(EvidenceFlag::kCoreBeat), 0u);
    EXPECT_NE(entry.flags & bit(EvidenceFlag::kCoreArmed), 0u);
    EXPECT_EQ(entry.flags & bit(EvidenceFlag::kArmPermitted), 0u);
    EXPECT_NE(before.flags & bit(EvidenceFlag::kArmPermitted), 0u);
}

}  // namespace
}  // namespace holdfast::safety
