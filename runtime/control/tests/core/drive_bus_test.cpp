// DriveBus against holdfast-plant, in one process: every profile, sensors, and links that are lost.
#include "core/drive_bus.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "plant/plant.hpp"
#include "robot_rig.hpp"
#include "rt/clock.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;

struct Setting {
    const char* profile;
    const char* link;
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.profile << " on " << setting.link; }

RobotConfig robot_of(const Setting& setting) {
    RobotConfig robot =
        load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/every_kind.toml").value();
    for (Drive& drive : robot.drives) {
        drive.link = setting.link;
        if (robot.commands[drive.command].kind == ChannelKind::kEffort) continue;
        drive.profile = setting.profile;
        drive.counts_per_turn = 10'000.0;
    }
    // CANSimple nodes that leave the identifiers of CiA 402 alone.
    for (std::size_t d = 0; d < robot.drives.size(); ++d)
        if (robot.drives[d].profile == "odrive-cansimple")
            robot.drives[d].node = 33 + static_cast<std::uint32_t>(d);
    robot.sensors = {{.name = "gate", .link = setting.link, .profile = SensorProfile::kDistance, .node = 40}};
    StateChannel distance;
    distance.name = "gate.distance";
    distance.unit = "m";
    distance.sensor = 0;
    distance.quantity = Quantity::kDistance;
    distance.limits = {0.0, 10.0};
    distance.max_age_ns = 20 * kMs;
    robot.states.push_back(distance);
    return robot;
}

class DriveBusTest : public testing::TestWithParam<Setting> {
  protected:
    void SetUp() override {
        plant_ = std::move(plant::Plant::open(robot_, directory_.path(), {}, nullptr).value());
        bus_.emplace(std::move(DriveBus::open(robot_, directory_.path()).value()));
        hear_hosts();
    }
    void hear_hosts() { plant_->receive_until(monotonic_ns() + 300'000); }
    // What the bus has sent reaches the plant, and what the plant says is there for the next cycle.
    void cycle() {
        now_ns_ += kMs;
        plant_->step(1);
        hear_hosts();
        bus_->receive(now_ns_, counters_);
        for (std::size_t d = 0; d < robot_.drives.size(); ++d)
            EXPECT_TRUE(bus_->send_command(d, wish_[robot_.drives[d].command], counters_));
        hear_hosts();
    }
    bool until(const std::function<bool()>& condition, int cycles = 3000) {
        for (int i = 0; i < cycles; ++i) {
            if (condition()) return true;
            cycle();
        }
        return condition();
    }
    bool all_in(std::uint8_t state) const {
        for (std::size_t d = 0; d < robot_.drives.size(); ++d)
            if (bus_->axis_state(d) != state) return false;
        return true;
    }
    void enable_all() {
        ASSERT_TRUE(until([&] { return all_in(kDriveIdle); }));
        for (int round = 0; round < 5 && !all_in(kDriveEnabled); ++round) {
            for (std::size_t d = 0; d < robot_.drives.size(); ++d) {
                bus_->send_enable(d, counters_);
                cycle();
            }
            (void)until([&] { return all_in(kDriveEnabled); }, 110);
        }
        ASSERT_TRUE(all_in(kDriveEnabled));
    }
    double state(std::size_t index) const { return bus_->sample(index).value; }

    TemporaryDirectory directory_;
    RobotConfig robot_ = robot_of(GetParam());
    Counters counters_;
    std::unique_ptr<plant::Plant> plant_;
    std::optional<DriveBus> bus_;
    std::int64_t now_ns_{1'000'000 * kMs};
    std::array<double, 3> wish_{};
};

TEST_P(DriveBusTest, HearsDrivesAndSensorsWithTheirTime) {
    ASSERT_TRUE(until([&] {
        return bus_->fresh(kJointPosition, now_ns_) && bus_->fresh(kSpindleVelocity, now_ns_) &&
               bus_->fresh(2, now_ns_);
    }));
    EXPECT_EQ(state(2), 5.0);
    EXPECT_EQ(bus_->sample(2).mono_ns, now_ns_);
    EXPECT_TRUE(plant_->set_measured("gate", "distance", 0.5));
    EXPECT_TRUE(until([&] { return state(2) == 0.5; }));
}

TEST_P(DriveBusTest, EnablesCommandsAndIdlesEveryDrive) {
    enable_all();
    wish_ = {0.2, 3.0, 0.0};
    EXPECT_TRUE(until([&] {
        return std::abs(state(kJointPosition) - 0.2) < 1e-3 && std::abs(state(kSpindleVelocity) - 3.0) < 1e-2;
    }));
    for (std::size_t d = 0; d < robot_.drives.size(); ++d) bus_->send_idle(d, counters_);
    EXPECT_TRUE(until([&] { return all_in(kDriveIdle); }));
}

TEST_P(DriveBusTest, ASilentDriveIsSilentAfterThreeHeartbeatsAndComesBack) {
    ASSERT_TRUE(until([&] { return !bus_->silent(kJoint); }));
    ASSERT_TRUE(plant_->add_fault({.device = robot_.drives[kJoint].name, .kind = plant::FaultKind::kSilent}));
    EXPECT_TRUE(until([&] { return bus_->silent(kJoint) && !bus_->silent(kSpindle); }));
    ASSERT_TRUE(plant_->clear_faults(""));
    EXPECT_TRUE(until([&] { return !bus_->silent(kJoint); }));
}

TEST_P(DriveBusTest, AnAxisErrorArrivesAndIsCleared) {
    enable_all();
    const std::uint32_t code = robot_.drives[kJoint].profile == "cia402" ? 0x3210 : 0x100;
    ASSERT_TRUE(plant_->add_fault({.device = robot_.drives[kJoint].name,
                                   .kind = plant::FaultKind::kAxisError,
                                   .amount = static_cast<double>(code)}));
    // An error may be told before the state that it leads to; what is cleared is that state.
    ASSERT_TRUE(
        until([&] { return bus_->axis_error(kJoint) == code && bus_->axis_state(kJoint) != kDriveEnabled; }));
    bus_->send_clear_errors(kJoint, counters_);
    EXPECT_TRUE(until([&] { return bus_->axis_error(kJoint) == 0; }));
    EXPECT_NE(bus_->axis_state(kJoint), kDriveEnabled);
}

// Hazard: a link with room for one more frame. A loop must not be closed in a mode that never left.
TEST(DriveBusRequest, EndsWithTheFirstFrameThatDoesNotLeave) {
    TemporaryDirectory directory;
    const RobotConfig robot =
        load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/every_kind.toml").value();
    const auto drives = std::move(open_drive_side("unix:plant.sock", directory.path()).value());
    DriveBus bus = std::move(DriveBus::open(robot, directory.path()).value());
    CanFrame frame;
    while (drives->receive(frame) == LinkResult::kOk) {
    }
    Counters counters;
    for (int i = 0; i < 10'000 && bus.send_command(kJoint, 0.1, counters); ++i) {
    }
    ASSERT_EQ(drives->receive(frame), LinkResult::kOk);
    const auto sent = counters.get(Counter::kFramesSent);
    const auto failed = counters.get(Counter::kLinkSendErrors);
    bus.send_enable(kJoint, counters);
    EXPECT_EQ(counters.get(Counter::kFramesSent), sent + 1);
    EXPECT_EQ(counters.get(Counter::kLinkSendErrors), failed + 1)
        << "the third frame was tried after the second";
}

TEST_P(DriveBusTest, AFrozenOrNanSampleNeverBecomesANumberThatIsNone) {
    ASSERT_TRUE(until([&] { return bus_->fresh(2, now_ns_); }));
    ASSERT_TRUE(plant_->add_fault({.device = "gate", .kind = plant::FaultKind::kNan}));
    EXPECT_TRUE(until([&] { return !bus_->fresh(2, now_ns_); })) << "NaN counts as a fresh sample";
    EXPECT_TRUE(std::isfinite(state(2)));
}

INSTANTIATE_TEST_SUITE_P(EveryProfile, DriveBusTest,
                         testing::Values(Setting{"odrive-cansimple", "unix:plant.sock"},
                                         Setting{"cia402", "unix:plant.sock"},
                                         Setting{"odrive-cansimple", "serial:plant.tty?baud=921600"}));

// The device is unplugged: nothing that its drives said is current, whatever their heartbeats did.
TEST(LostLink, MakesItsDrivesSilentAtOnceAndIsCounted) {
    const Setting setting{"odrive-cansimple", "serial:plant.tty?baud=921600"};
    const TemporaryDirectory directory;
    const RobotConfig robot = robot_of(setting);
    auto plant = std::move(plant::Plant::open(robot, directory.path(), {}, nullptr).value());
    DriveBus bus = std::move(DriveBus::open(robot, directory.path()).value());
    Counters counters;
    std::int64_t now_ns = 1'000'000 * kMs;
    for (int i = 0; i < 20'000 && bus.silent(kJoint); ++i) {
        plant->step(1);
        bus.receive(now_ns, counters);
    }
    ASSERT_FALSE(bus.silent(kJoint));
    plant.reset();
    for (int i = 0; i < 20'000 && !bus.silent(kJoint); ++i) bus.receive(now_ns, counters);
    EXPECT_TRUE(bus.silent(kJoint));
    EXPECT_EQ(counters.get(Counter::kLinkDowns), 1u);
    EXPECT_FALSE(bus.send_command(kSpindle, 0.0, counters));
    EXPECT_GT(counters.get(Counter::kLinkSendErrors), 0u);
}

}  // namespace
}  // namespace holdfast::core
