// Which joints are estimated, and that their models follow from the channels' limits.
#include "estimate/joints.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "estimate/chi_square.hpp"

namespace holdfast::estimate {
namespace {

RobotConfig robot(const std::string& file) {
    auto loaded = load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/" + file);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    return std::move(*loaded);
}

TEST(Joints, AreThoseWhoseDriveMeasuresSomething) {
    const auto joints = joints_of(robot("every_kind.toml"));
    ASSERT_EQ(joints.size(), 2u) << "the gripper measures nothing";
    EXPECT_EQ(joints[0].command, 0u);
    EXPECT_EQ(joints[0].position, 0u);
    EXPECT_FALSE(joints[0].velocity);
    EXPECT_EQ(joints[1].command, 1u);
    EXPECT_EQ(joints[1].velocity, 1u);
    EXPECT_FALSE(joints[1].model.measures_position);
}

TEST(Joints, HaveModelsFromTheirLimits) {
    const auto joints = joints_of(robot("every_kind.toml"));
    const JointModel& joint = joints[0].model;  // 2 rad/s, 10 rad/s^2
    EXPECT_DOUBLE_EQ(joint.jerk_density, 10.0 * 10.0 / 0.01);
    EXPECT_DOUBLE_EQ(joint.position_std, 2e-4);
    EXPECT_DOUBLE_EQ(joint.start_velocity_std, 2.0);
    EXPECT_DOUBLE_EQ(joint.start_acceleration_std, 10.0);
    const JointModel& spindle = joints[1].model;  // 20 rad/s, 40 rad/s^2
    EXPECT_DOUBLE_EQ(spindle.velocity_std, 0.2);
    EXPECT_DOUBLE_EQ(spindle.jerk_density, 40.0 * 40.0 / 0.01);
}

TEST(Joints, TakeTheNoiseThatAPersonKnows) {
    RobotConfig config = robot("every_kind.toml");
    config.states[0].noise = 1e-5;
    EXPECT_DOUBLE_EQ(joints_of(config)[0].model.position_std, 1e-5);
}

TEST(Joints, ExpectSamplesAsOldAsACycleOfTheLoop) {
    RobotConfig config = robot("every_kind.toml");
    EXPECT_DOUBLE_EQ(joints_of(config)[0].model.timing_std_s, 1e-3);
    config.control.tier1_hz = 100;
    EXPECT_DOUBLE_EQ(joints_of(config)[0].model.timing_std_s, 1e-2);
    config.estimator.timing_noise_s = 5e-4;
    EXPECT_DOUBLE_EQ(joints_of(config)[0].model.timing_std_s, 5e-4);
}

TEST(Joints, OfAnEffortChannelFollowItsStates) {
    RobotConfig config = robot("every_kind.toml");
    config.states[1].drive = 2;  // the velocity, limits +-25, is now the gripper's
    const auto joints = joints_of(config);
    ASSERT_EQ(joints.size(), 2u);
    EXPECT_EQ(joints[1].command, 2u);
    EXPECT_DOUBLE_EQ(joints[1].model.start_velocity_std, 25.0);
    EXPECT_DOUBLE_EQ(joints[1].model.start_acceleration_std, 250.0);
}

TEST(Joints, AreNoneWhenTheEstimatorIsOff) {
    RobotConfig config = robot("every_kind.toml");
    config.estimator.enabled = false;
    EXPECT_TRUE(joints_of(config).empty());
}

// Tables of the chi-square distribution.
TEST(ChiSquare, BoundsAreThoseOfTheTables) {
    EXPECT_NEAR(chi_square_bound_1(0.05), 3.841, 5e-4);
    EXPECT_NEAR(chi_square_bound_1(0.001), 10.828, 5e-4);
    EXPECT_NEAR(chi_square_bound_3(0.05), 7.815, 5e-4);
    EXPECT_NEAR(chi_square_bound_3(0.001), 16.266, 5e-4);
}

}  // namespace
}  // namespace holdfast::estimate
