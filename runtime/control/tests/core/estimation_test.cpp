// The estimate phase in the loop: what it publishes, what it counts, and rule 6 when an estimate fails.
#include "core/estimation.hpp"

#include <gtest/gtest.h>

#include "robot_rig.hpp"
#include "sensor/frames.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;
using shm::Mode;

// The joint's encoder jumps to and fro: no motion that it could make.
void shake_encoder(RobotRig& rig, int cycles) {
    for (int i = 0; i < cycles; ++i) {
        rig.drives[kJoint].position = i % 2 == 0 ? 0.9 : -0.9;
        rig.cycle();
    }
    rig.drives[kJoint].position = 0.3;
}

TEST(Estimation, IsPublishedForEveryMeasuredJoint) {
    RobotRig rig;
    rig.drives[kSpindle].velocity = 2.0;
    rig.cycles(100);
    const shm::StateData state = rig.state();
    EXPECT_EQ(state.joint_health[kJoint], EstimateHealth::kHealthy);
    EXPECT_NEAR(state.joint_position[kJoint], 0.3, 1e-4);
    EXPECT_NEAR(state.joint_velocity[kJoint], 0.0, 1e-2);
    EXPECT_EQ(state.joint_health[kSpindle], EstimateHealth::kHealthy);
    EXPECT_TRUE(std::isnan(state.joint_position[kSpindle])) << "nothing measures it";
    EXPECT_NEAR(state.joint_velocity[kSpindle], 2.0, 1e-2);
    EXPECT_EQ(state.joint_health[kGripper], EstimateHealth::kNone);
    EXPECT_EQ(state.attitude_health, EstimateHealth::kNone);
}

TEST(Estimation, SeesAVelocityThatNoDriveReports) {
    RobotRig rig;
    for (int i = 0; i < 400; ++i) {
        rig.drives[kJoint].position += 0.5e-3;
        rig.cycle();
    }
    EXPECT_NEAR(rig.state().joint_velocity[kJoint], 0.5, 0.02);
    EXPECT_EQ(rig.counter(Counter::kEstimateRejected), 0u);
}

TEST(Estimation, CountsWhatItRejects) {
    RobotRig rig;
    rig.cycles(100);
    rig.drives[kJoint].position = 0.8;
    rig.cycle();
    rig.drives[kJoint].position = 0.3;
    rig.cycles(10);
    EXPECT_EQ(rig.counter(Counter::kEstimateRejected), 1u);
    EXPECT_EQ(rig.counter(Counter::kEstimateRestarts), 0u);
    EXPECT_EQ(rig.state().joint_health[kJoint], EstimateHealth::kHealthy);
    EXPECT_NEAR(rig.state().joint_position[kJoint], 0.3, 1e-3);
}

TEST(Estimation, OfASilentDriveWaits) {
    RobotRig rig;
    rig.cycles(10);
    rig.drives[kJoint].talks = false;
    rig.cycles(30);
    EXPECT_EQ(rig.state().joint_health[kJoint], EstimateHealth::kWaiting);
    rig.drives[kJoint].talks = true;
    rig.drives[kJoint].position = -0.7;
    rig.cycle();
    EXPECT_EQ(rig.state().joint_health[kJoint], EstimateHealth::kHealthy);
    EXPECT_NEAR(rig.state().joint_position[kJoint], -0.7, 1e-5);
}

// Rule 6.
TEST(Estimation, ThatFailedHoldsItsPositionChannel) {
    RobotRig rig;
    rig.arm_fully();
    rig.wish(kJoint, 0.9);
    rig.wish(kSpindle, 5.0);
    rig.cycles(150);
    ASSERT_GT(rig.sent(kJoint), 0.31);
    shake_encoder(rig, 12);
    EXPECT_EQ(rig.state().joint_health[kJoint], EstimateHealth::kUnhealthy);
    EXPECT_EQ(rig.state().joints_untrusted, 1u << kJoint);
    const double stopping_at = rig.sent(kJoint);
    shake_encoder(rig, 600);
    const double stopped_at = rig.sent(kJoint);
    EXPECT_LT(stopped_at - stopping_at, 0.25) << "it went on after its estimate had failed";
    shake_encoder(rig, 100);
    EXPECT_EQ(rig.sent(kJoint), stopped_at);
    EXPECT_NEAR(rig.sent(kSpindle), 5.0, 1e-5) << "a channel that needs no position stopped too";
    EXPECT_EQ(rig.mode(), Mode::kRunning);
    EXPECT_GT(rig.counter(Counter::kEstimateUnhealthy), 700u);
}

TEST(Estimation, ThatFailedBlocksArming) {
    RobotRig rig;
    rig.load_controller();
    rig.cycles(10);
    shake_encoder(rig, 12);
    EXPECT_EQ(rig.arm(), static_cast<std::uint32_t>(Blocker::kEstimate));
    EXPECT_EQ(rig.exchange.status.latest().untrusted_joints, 1u << kJoint);
    rig.cycles(70);
    EXPECT_EQ(rig.arm(), 0u) << "a joint that has proved itself is refused";
}

// No position is needed where none limits the motion.
TEST(Estimation, OfAVelocityThatFailedDoesNotStopAVelocityChannel) {
    RobotRig rig;
    rig.arm_and_turn();
    for (int i = 0; i < 40; ++i) {
        rig.drives[kSpindle].velocity = i % 2 == 0 ? 20.0 : -20.0;
        rig.cycle();
    }
    EXPECT_EQ(rig.state().joint_health[kSpindle], EstimateHealth::kUnhealthy);
    EXPECT_EQ(rig.state().joints_untrusted, 0u);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, 1e-5);
}

// An IMU on a link of the core, and the estimate phase that listens to it.
class ImuRig {
  public:
    ImuRig() {
        for (Drive& drive : config.drives) drive.link = kLink;
        for (Sensor& sensor : config.sensors) sensor.link = kLink;
        hub = std::move(*open_drive_side(kLink, directory.path()));
        bus.emplace(std::move(*DriveBus::open(config, directory.path())));
        estimation.emplace(config, imu_states(config));
        CanFrame hello;
        while (hub->receive(hello) == LinkResult::kOk) {
        }
    }
    void cycle(const Eigen::Vector3d& rate, const Eigen::Vector3d& acceleration) {
        now_ns += kMs;
        std::array<double, kQuantities> values{};
        for (int axis = 0; axis < 3; ++axis) {
            values[static_cast<std::size_t>(Quantity::kAngularRateX) + static_cast<std::size_t>(axis)] =
                rate[axis];
            values[static_cast<std::size_t>(Quantity::kAccelerationX) + static_cast<std::size_t>(axis)] =
                acceleration[axis];
        }
        std::array<CanFrame, sensor::kMaxFrames> frames;
        const std::size_t count = sensor::encode(imu(), values, frames);
        for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(hub->send(frames[i]), LinkResult::kOk);
        silent_cycle();
    }
    void silent_cycle() {
        bus->receive(now_ns, counters);
        estimation->update(*bus, now_ns, 1e-3, counters);
    }
    [[nodiscard]] const Sensor& imu() const {
        return *std::ranges::find(config.sensors, SensorProfile::kImu, &Sensor::profile);
    }
    [[nodiscard]] shm::StateData data() const {
        shm::StateData data{};
        estimation->publish(data);
        return data;
    }

    static constexpr const char* kLink = "unix:plant.sock";
    TemporaryDirectory directory;
    RobotConfig config =
        load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/sensors_and_links.toml")
            .value();
    std::unique_ptr<Link> hub;
    std::optional<DriveBus> bus;
    std::optional<Estimation> estimation;
    Counters counters;
    std::int64_t now_ns{1'000'000 * kMs};
};

TEST(Attitude, FollowsTheImuOnALink) {
    ImuRig rig;
    EXPECT_EQ(rig.data().attitude_health, EstimateHealth::kWaiting);
    const Eigen::Vector3d up(0.0, 0.0, 9.80665);
    for (int i = 0; i < 10; ++i) rig.cycle({0.0, 0.0, 0.0}, up);
    // A quarter turn about x in one second: up goes from z to y of the body.
    const double rate = 1.5707963267948966;
    for (int i = 1; i <= 1000; ++i) {
        const double angle = rate * 1e-3 * i;
        rig.cycle({rate, 0.0, 0.0}, {0.0, 9.80665 * std::sin(angle), 9.80665 * std::cos(angle)});
    }
    const shm::StateData data = rig.data();
    EXPECT_EQ(data.attitude_health, EstimateHealth::kHealthy);
    EXPECT_NEAR(data.attitude[0], std::sqrt(0.5), 1e-3);
    EXPECT_NEAR(data.attitude[1], std::sqrt(0.5), 1e-3);
    EXPECT_NEAR(data.attitude[2], 0.0, 1e-3);
    EXPECT_NEAR(data.attitude[3], 0.0, 1e-3);
    EXPECT_EQ(rig.counters.get(Counter::kEstimateRejected), 0u);
}

TEST(Attitude, CountsMotionThatIsNotGravity) {
    ImuRig rig;
    for (int i = 0; i < 2; ++i) rig.cycle({0.0, 0.0, 0.0}, {0.0, 0.0, 9.80665});
    rig.cycle({0.0, 0.0, 0.0}, {0.0, 0.0, 15.0});
    EXPECT_EQ(rig.counters.get(Counter::kAttitudeGated), 1u);
    EXPECT_EQ(rig.data().attitude_health, EstimateHealth::kHealthy);
}

TEST(Attitude, WaitsWhenTheImuFallsSilent) {
    ImuRig rig;
    for (int i = 0; i < 2; ++i) rig.cycle({0.0, 0.0, 0.0}, {0.0, 0.0, 9.80665});
    ASSERT_EQ(rig.data().attitude_health, EstimateHealth::kHealthy);
    rig.now_ns += 11'000 * kMs;
    rig.silent_cycle();
    EXPECT_EQ(rig.data().attitude_health, EstimateHealth::kWaiting);
}

TEST(Attitude, NeedsAllSixStatesOfAnImu) {
    RobotConfig config =
        load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/sensors_and_links.toml")
            .value();
    ASSERT_TRUE(imu_states(config));
    std::erase_if(config.states,
                  [](const StateChannel& state) { return state.quantity == Quantity::kAccelerationY; });
    EXPECT_FALSE(imu_states(config));
}

TEST(Phases, AreTimedEachCycle) {
    RobotRig rig;
    rig.cycles(25);
    const shm::StateSegment& segment = rig.state_reader.segment();
    for (const auto* phase : {&segment.read, &segment.estimate, &segment.shield, &segment.write}) {
        EXPECT_EQ(phase->count.load(), 25u);
        EXPECT_EQ(phase->bins[0].load(), 25u) << "the rig's clock stands still within a cycle";
    }
}

}  // namespace
}  // namespace holdfast::core
