// One suite for every drive profile and every kind of channel that it has: the host's end against the drive's
// end of holdfast-plant, frame by frame.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include "counted_allocations.hpp"
#include "drive/profile.hpp"
#include "plant/simulated_drive.hpp"
#include "robot/bus_load.hpp"
#include "test_robot.hpp"

namespace holdfast {
namespace {

constexpr double kStepS = 1e-3;
constexpr int kHeartbeatCycles = 100;
constexpr int kEnableRepeatCycles = 100;  // as Tier-1 does it
constexpr std::size_t kJoint = 0, kSpindle = 1, kGripper = 2;

struct Subject {
    const char* profile;
    std::size_t drive;  // of test_robot(): position, velocity, effort
    std::uint32_t error;
    const char* error_name;
};

void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.profile << subject.drive; }

RobotConfig robot_with(const Subject& subject) {
    RobotConfig robot = test_robot();
    for (Drive& drive : robot.drives) {
        drive.profile = subject.profile;
        drive.counts_per_turn = 10'000.0;
    }
    return robot;
}

class DriveConformance : public testing::TestWithParam<Subject> {
  protected:
    // What the host knows of the drive after a cycle.
    struct Known {
        std::optional<double> position, velocity;
        std::uint8_t state{kDriveUnknown};
        std::uint32_t error{0};
        int heartbeats{0};
    };

    const Drive& drive() const { return robot_.drives[GetParam().drive]; }
    ChannelKind kind() const { return robot_.commands[GetParam().drive].kind; }

    void to_drive(const CanFrame& frame) {
        if (!device_->hears(frame)) return;
        const auto received = device_->receive(frame);
        EXPECT_TRUE(received) << "the drive refuses a frame of its profile: id " << std::hex << frame.id;
        if (received && received->reply) to_host(*received->reply);
    }
    void to_host(const CanFrame& frame) {
        heard_.push_back(frame);
        const auto sample = host_->decode(frame);
        if (!sample) return;
        if (sample->position) known_.position = sample->position;
        if (sample->velocity) known_.velocity = sample->velocity;
        if (sample->axis_state) known_.state = *sample->axis_state;
        if (sample->axis_error) known_.error = *sample->axis_error;
        if (sample->heartbeat) ++known_.heartbeats;
    }
    // As DriveBus and Tier-1 do it: upkeep, SYNC, feedback, one value.
    void cycle(double value) { cycle_with(*host_, value); }
    void cycle_with(DriveProfile& speaker, double value) {
        for (const CanFrame& frame : speaker.upkeep()) to_drive(frame);
        if (const auto sync = speaker.sync()) to_drive(*sync);
        const bool heartbeat = cycles_++ % kHeartbeatCycles == 0;
        for (const CanFrame& frame :
             device_->feedback({.feedback = true, .heartbeat = heartbeat}, device_->joint().state())) {
            to_host(frame);
            if (&speaker != host_.get()) (void)speaker.decode(frame);
        }
        for (const CanFrame& frame : speaker.command(value)) to_drive(frame);
        device_->step(kStepS);
    }
    void cycles(int count, double value) {
        for (int i = 0; i < count; ++i) cycle(value);
    }
    void enable(double value = 0.0) {
        for (int i = 0; i < 3 * kEnableRepeatCycles && known_.state != kDriveEnabled; ++i) {
            if (i % kEnableRepeatCycles == 0) {
                for (const CanFrame& frame : host_->enable()) to_drive(frame);
            }
            cycle(value);
        }
        cycles(kHeartbeatCycles, value);
        ASSERT_EQ(known_.state, kDriveEnabled);
    }
    // Enough for every drive to have been heard and started.
    void listen() { cycles(2 * kHeartbeatCycles + 1, 0.0); }
    double motion() const { return std::abs(device_->joint().state().velocity); }

    RobotConfig robot_ = robot_with(GetParam());
    std::unique_ptr<DriveProfile> host_ = make_drive_profile(drive(), kind());
    std::unique_ptr<plant::SimulatedDrive> device_ = plant::make_simulated_drive(robot_, GetParam().drive);
    Known known_;
    std::vector<CanFrame> heard_;
    int cycles_{0};
};

TEST_P(DriveConformance, EveryCycleHasACompleteFrameWhateverTheValue) {
    listen();
    std::optional<std::pair<std::uint32_t, std::uint8_t>> first;
    for (const double value : {0.0, 0.0, 0.5, 0.5, -0.5, 0.0, 1e-9}) {
        const DriveFrames frames = host_->command(value);
        ASSERT_EQ(frames.size(), 1u);
        const auto shape = std::pair{frames[0].id, frames[0].size};
        if (!first) first = shape;
        EXPECT_EQ(shape, *first) << "a frame is of another kind for " << value;
        EXPECT_TRUE(device_->hears(frames[0]));
    }
}

TEST_P(DriveConformance, EveryFrameThatIsUnderstoodIsAmongTheReports) {
    const auto reports = host_->reports();
    std::size_t understood = 0;
    for (std::uint32_t id = 0; id <= kMaxCanId; ++id) {
        for (std::uint8_t size = 0; size <= 8; ++size) {
            // What an SDO abort of the mode of operation begins with; to every other message, data.
            const CanFrame frame{.id = id, .size = size, .data = {0x80, 0x60, 0x60}};
            if (!make_drive_profile(drive(), kind())->decode(frame)) continue;
            ++understood;
            EXPECT_NE(std::ranges::find(reports, id), reports.end()) << std::hex << id;
        }
    }
    EXPECT_EQ(understood, reports.size());
}

TEST_P(DriveConformance, CommandsAloneEnableNothing) {
    cycles(500, 0.5);
    EXPECT_EQ(known_.state, kDriveIdle);
    EXPECT_EQ(motion(), 0.0);
}

TEST_P(DriveConformance, EnableClosesTheLoopAndStartsFromRest) {
    listen();
    const double before = device_->joint().state().position;
    enable();
    EXPECT_EQ(known_.error, 0u);
    EXPECT_NEAR(device_->joint().state().position, before, 1e-6);
    EXPECT_EQ(motion(), 0.0);
}

TEST_P(DriveConformance, FollowsItsChannelOnceEnabled) {
    listen();
    enable();
    cycles(3000, 0.8);
    if (kind() == ChannelKind::kPosition) {
        EXPECT_NEAR(known_.position.value(), 0.8, 1e-3);
    }
    if (kind() == ChannelKind::kVelocity) {
        EXPECT_NEAR(known_.velocity.value(), 0.8, 1e-3);
    }
    if (kind() == ChannelKind::kEffort) {
        EXPECT_NEAR(device_->joint().state().effort, 0.8, 1e-6);
    }
}

// The safety daemon's profile never enables, and must keep a moving drive under its commands.
TEST_P(DriveConformance, ASecondHostThatHearsTheDriveCommandsItWithoutEnabling) {
    listen();
    enable();
    const auto second = make_drive_profile(drive(), kind());
    for (int i = 0; i < 1000; ++i) cycle_with(*second, 0.3);
    EXPECT_EQ(known_.state, kDriveEnabled);
    EXPECT_NEAR(device_->input(), 0.3, 1e-3);
}

TEST_P(DriveConformance, IdleTakesTheTorqueAwayForGood) {
    listen();
    enable();
    for (const CanFrame& frame : host_->idle()) to_drive(frame);
    cycles(500, 0.5);
    EXPECT_EQ(known_.state, kDriveIdle);
    EXPECT_LT(motion(), 1e-2);
}

TEST_P(DriveConformance, ADriveThatFailedIsNotEnabledByCommands) {
    listen();
    enable();
    device_->fail(GetParam().error);
    cycles(500, 0.5);
    EXPECT_EQ(known_.error, GetParam().error);
    EXPECT_EQ(known_.state, kDriveIdle);
    const std::string words = describe_axis_error(drive(), known_.error);
    EXPECT_NE(words.find(GetParam().error_name), std::string::npos) << words;
}

TEST_P(DriveConformance, ClearingErrorsClearsThemAndEnablesNothing) {
    listen();
    enable();
    device_->fail(GetParam().error);
    cycles(200, 0.0);
    for (const CanFrame& frame : host_->clear_errors()) to_drive(frame);
    cycles(300, 0.5);
    EXPECT_EQ(known_.error, 0u);
    EXPECT_EQ(known_.state, kDriveIdle);
    enable();
}

TEST_P(DriveConformance, AValueThatIsNotFiniteStopsTheDriveAndNeverArrives) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity(), 1e300, -1e300}) {
        host_ = make_drive_profile(drive(), kind());
        device_ = plant::make_simulated_drive(robot_, GetParam().drive);
        known_ = {};
        listen();
        enable();
        cycles(200, 0.2);
        const double before = device_->input();
        cycle(bad);
        EXPECT_EQ(device_->input(), before) << bad;
        for (int i = 0; i < 2000; ++i) {
            cycle(bad);
            ASSERT_TRUE(std::isfinite(device_->input()));
        }
        EXPECT_EQ(known_.state, kDriveIdle) << bad;
        EXPECT_LT(motion(), 1e-2) << bad;
    }
}

TEST_P(DriveConformance, BeatsAndSaysSo) {
    cycles(10 * kHeartbeatCycles, 0.0);
    EXPECT_EQ(known_.heartbeats, 10);
}

TEST_P(DriveConformance, RefusesTruncatedFrames) {
    listen();
    enable();
    ASSERT_FALSE(heard_.empty());
    for (const CanFrame& whole : heard_) {
        if (!host_->decode(whole)) continue;
        for (std::uint8_t size = 0; size <= 8; ++size) {
            CanFrame other = whole;
            other.size = size;
            if (size == whole.size) continue;
            EXPECT_FALSE(host_->decode(other)) << std::hex << whole.id << " " << int{size};
        }
    }
}

TEST_P(DriveConformance, IgnoresEveryOtherNode) {
    RobotConfig other = robot_;
    other.drives[GetParam().drive].node = drive().node + 9;
    const auto stranger = make_drive_profile(other.drives[GetParam().drive], kind());
    listen();
    enable();
    for (const CanFrame& frame : heard_) EXPECT_FALSE(stranger->decode(frame)) << std::hex << frame.id;
}

TEST_P(DriveConformance, NeverMakesANumberOutOfNoise) {
    std::mt19937 chance(20261124);
    for (int i = 0; i < 200'000; ++i) {
        CanFrame frame{.id = static_cast<std::uint32_t>(chance() & kMaxCanId),
                       .size = static_cast<std::uint8_t>(chance() % 9)};
        for (auto& byte : frame.data) byte = static_cast<std::uint8_t>(chance() % 4 == 0 ? 0xFF : chance());
        const auto sample = host_->decode(frame);
        if (!sample) continue;
        for (const auto& value : {sample->position, sample->velocity, sample->effort})
            ASSERT_TRUE(std::isfinite(value.value_or(0.0)));
    }
}

#ifdef HOLDFAST_COUNTS_ALLOCATIONS
TEST_P(DriveConformance, AllocatesNothingInUse) {
    listen();
    enable();
    const std::uint64_t before = allocations();
    for (int i = 0; i < 1000; ++i) {
        (void)host_->command(0.1);
        (void)host_->enable();
        (void)host_->upkeep();
        (void)host_->sync();
        for (const CanFrame& frame :
             device_->feedback({.feedback = true, .heartbeat = true}, device_->joint().state()))
            (void)host_->decode(frame);
        (void)host_->clear_errors();
        (void)host_->idle();
    }
    EXPECT_EQ(allocations(), before);
}
#endif

// What the configuration check computes is what goes over the link.
TEST_P(DriveConformance, TheBusLoadOfTheCheckIsWhatIsSent) {
    listen();
    enable();
    RobotConfig alone = robot_;
    alone.drives = {drive()};
    alone.commands = {robot_.commands[GetParam().drive]};
    alone.drives[0].command = 0;
    alone.states.clear();
    constexpr int kCycles = 1000;
    double bits = 0.0;
    const auto count = [&bits](const CanFrame& frame) { bits += can_frame_bits(frame.size); };
    for (int i = 0; i < kCycles; ++i) {
        if (const auto sync = host_->sync()) count(*sync);
        for (const CanFrame& frame : host_->command(0.0)) count(frame);
        const bool heartbeat = i % kHeartbeatCycles == 0;
        for (const CanFrame& frame :
             device_->feedback({.feedback = true, .heartbeat = heartbeat}, device_->joint().state()))
            count(frame);
    }
    EXPECT_NEAR(bus_loads(alone).at(0).bits_per_s, bits * alone.control.tier1_hz / kCycles, 1.0);
}

std::string name_of_subject(const testing::TestParamInfo<Subject>& tested) {
    constexpr std::array kKinds{"position", "velocity", "effort"};
    const bool is_cia402 = tested.param.profile == std::string("cia402");
    return std::string(is_cia402 ? "cia402_" : "cansimple_") + kKinds[tested.param.drive];
}

INSTANTIATE_TEST_SUITE_P(EveryProfile, DriveConformance,
                         testing::Values(Subject{"odrive-cansimple", kJoint, 0x200, "DC bus under voltage"},
                                         Subject{"odrive-cansimple", kSpindle, 0x4000,
                                                 "inverter over temperature"},
                                         Subject{"odrive-cansimple", kGripper, 0x1000000, "watchdog expired"},
                                         Subject{"cia402", kJoint, 0x8611, "following error"},
                                         Subject{"cia402", kSpindle, 0x3220, "DC link under voltage"}),
                         name_of_subject);

}  // namespace
}  // namespace holdfast
