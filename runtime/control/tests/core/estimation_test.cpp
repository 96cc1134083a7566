// The estimate phase in the loop: what it publishes, what it counts, and rule 6 when an estimate fails.
#include "core/estimation.hpp"

#include <gtest/gtest.h>

#include "robot_rig.hpp"

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
    EXPECT_EQ(rig.mode(), Mode::kArmed);
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
