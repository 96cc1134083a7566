#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "plant/cansimple_axis.hpp"
#include "plant/encoder.hpp"
#include "test_robot.hpp"

namespace holdfast::plant {
namespace {

using cansimple::AxisState;
using cansimple::Command;
using cansimple::ControlMode;

using Axis = CanSimpleAxis;

constexpr double kStepS = 1e-3;

class AxisTest : public testing::Test {
  protected:
    Axis axis(std::size_t drive) const { return {robot_, drive}; }
    void enable(Axis& axis, std::size_t drive) const {
        std::array<CanFrame, cansimple::kMaxEnableFrames> frames;
        cansimple::enable_frames(robot_.drives[drive], robot_.commands[drive].kind, frames);
        for (const CanFrame& frame : frames) ASSERT_TRUE(axis.receive(frame));
    }
    Axis enabled(std::size_t drive) const {
        Axis made = axis(drive);
        enable(made, drive);
        return made;
    }
    void command(Axis& axis, std::size_t drive, double value) const {
        ASSERT_TRUE(
            axis.receive(cansimple::command_frame(robot_.drives[drive], robot_.commands[drive].kind, value)));
    }
    DriveSample heard(Axis& axis, std::size_t drive, bool heartbeat, std::mt19937_64* noise = nullptr) const {
        const JointState measured = measure(axis.joint().state(), robot_.drives[drive].turns_per_unit, noise);
        DriveSample all;
        for (const CanFrame& frame : axis.feedback({.feedback = true, .heartbeat = heartbeat}, measured)) {
            const auto sample = cansimple::decode(robot_.drives[drive], frame);
            EXPECT_TRUE(sample);
            if (sample->position) all.position = sample->position;
            if (sample->velocity) all.velocity = sample->velocity;
            if (sample->effort) all.effort = sample->effort;
            if (sample->axis_state) all.axis_state = sample->axis_state;
            if (sample->axis_error) all.axis_error = sample->axis_error;
        }
        return all;
    }
    static void run(Axis& axis, double seconds) {
        for (int i = 0; i < static_cast<int>(seconds / kStepS); ++i) axis.step(kStepS);
    }

    RobotConfig robot_ = test_robot();
};

TEST_F(AxisTest, IsIdleAtFirstAndIgnoresInputs) {
    Axis joint = axis(0);
    command(joint, 0, 1.0);
    run(joint, 1.0);
    EXPECT_EQ(joint.axis_state(), AxisState::kIdle);
    EXPECT_EQ(joint.joint().state().position, 0.0);
}

TEST_F(AxisTest, EntersClosedLoopAtRestWhereItIs) {
    Axis joint = enabled(0);
    command(joint, 0, 1.0);
    run(joint, 2.0);
    ASSERT_TRUE(joint.receive(cansimple::idle_frame(robot_.drives[0])));
    command(joint, 0, -2.0);
    enable(joint, 0);
    run(joint, 1.0);
    EXPECT_NEAR(joint.joint().state().position, 1.0, 1e-3);
}

TEST_F(AxisTest, FollowsAPositionWithoutOvershootWithinItsCapability) {
    Axis joint = enabled(0);
    const Capability capability = capability_of(robot_, robot_.drives[0]);
    double target = 0.0, last_velocity = 0.0;
    for (int i = 0; i < 3000; ++i) {
        target = std::min(1.0, target + 2.0 * kStepS);  // at the channel's rate
        command(joint, 0, target);
        joint.step(kStepS);
        ASSERT_LE(std::abs(joint.joint().state().velocity), capability.velocity);
        ASSERT_LE(std::abs(joint.joint().state().velocity - last_velocity), capability.accel * kStepS + 1e-9);
        last_velocity = joint.joint().state().velocity;
        ASSERT_LT(joint.joint().state().position, 1.0 + 0.05);
    }
    EXPECT_NEAR(joint.joint().state().position, 1.0, 1e-4);
    EXPECT_NEAR(joint.joint().state().velocity, 0.0, 1e-4);
}

TEST_F(AxisTest, FollowsAVelocity) {
    Axis spindle = enabled(1);
    command(spindle, 1, 10.0);
    run(spindle, 1.0);
    EXPECT_NEAR(spindle.joint().state().velocity, 10.0, 1e-3);
    command(spindle, 1, 0.0);
    run(spindle, 1.0);
    EXPECT_NEAR(spindle.joint().state().velocity, 0.0, 1e-3);
    EXPECT_EQ(spindle.input_vel_max_abs(), 10.0);
}

TEST_F(AxisTest, EffortAcceleratesAgainstFrictionAndStaysBelowTheEndVelocity) {
    Axis gripper = enabled(2);
    command(gripper, 2, 0.02);  // below the friction of 0.04 N
    run(gripper, 0.1);
    EXPECT_EQ(gripper.joint().state().velocity, 0.0);
    command(gripper, 2, 2.0);
    run(gripper, 5.0);
    EXPECT_GT(gripper.joint().state().velocity, 0.4);
    EXPECT_LT(gripper.joint().state().velocity, 0.5);
    EXPECT_NEAR(gripper.joint().state().effort, 2.0, 1e-6);
    command(gripper, 2, 0.0);
    run(gripper, 5.0);
    EXPECT_EQ(gripper.joint().state().velocity, 0.0);
}

TEST_F(AxisTest, StopsAtItsEndStops) {
    Axis joint = enabled(0);
    command(joint, 0, 10.0);
    run(joint, 10.0);
    EXPECT_EQ(joint.joint().state().position, 3.2);
    EXPECT_EQ(joint.joint().state().velocity, 0.0);
}

TEST_F(AxisTest, IdleJointComesToRest) {
    Axis spindle = enabled(1);
    command(spindle, 1, 10.0);
    run(spindle, 1.0);
    ASSERT_TRUE(spindle.receive(cansimple::idle_frame(robot_.drives[1])));
    run(spindle, 2.0);
    EXPECT_NEAR(spindle.joint().state().velocity, 0.0, 1e-3);
}

TEST_F(AxisTest, EstopDisarmsUntilErrorsAreCleared) {
    Axis joint = enabled(0);
    ASSERT_TRUE(joint.receive({.id = cansimple::frame_id(1, Command::kEstop)}));
    EXPECT_EQ(joint.axis_state(), AxisState::kIdle);
    EXPECT_EQ(heard(joint, 0, true).axis_error, cansimple::kAxisErrorEstopRequested);
    CanFrame closed_loop{.id = cansimple::frame_id(1, Command::kSetAxisState), .size = 4};
    cansimple::put_u32(closed_loop, 0, 8);
    ASSERT_TRUE(joint.receive(closed_loop));
    EXPECT_EQ(joint.axis_state(), AxisState::kIdle);
    enable(joint, 0);  // clears errors first
    EXPECT_EQ(joint.axis_state(), AxisState::kClosedLoop);
    EXPECT_EQ(heard(joint, 0, true).axis_error, 0u);
}

TEST_F(AxisTest, InputOfAnotherModeHasNoEffect) {
    Axis joint = enabled(0);
    const auto received =
        joint.receive(cansimple::command_frame(robot_.drives[0], ChannelKind::kVelocity, 5.0));
    ASSERT_TRUE(received);
    EXPECT_EQ(received->value, 5.0);
    run(joint, 0.5);
    EXPECT_EQ(joint.joint().state().position, 0.0);
}

TEST_F(AxisTest, ChangeOfModeStartsAtRest) {
    Axis spindle = enabled(1);
    command(spindle, 1, 10.0);
    CanFrame mode{.id = cansimple::frame_id(2, Command::kSetControllerMode), .size = 8};
    cansimple::put_u32(mode, 0, static_cast<std::uint32_t>(ControlMode::kTorque));
    ASSERT_TRUE(spindle.receive(mode));
    EXPECT_EQ(spindle.mode(), ControlMode::kTorque);
    EXPECT_EQ(spindle.input(), 0.0);
}

TEST_F(AxisTest, RefusesTruncatedUnknownAndNonFiniteFrames) {
    Axis joint = enabled(0);
    command(joint, 0, 0.5);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        CanFrame frame = cansimple::command_frame(robot_.drives[0], ChannelKind::kPosition, 1.0);
        cansimple::put_f32(frame, 0, bad);
        EXPECT_FALSE(joint.receive(frame));
    }
    for (const auto& [command, needed] : {std::pair{Command::kSetInputPos, 8},
                                          {Command::kSetInputVel, 8},
                                          {Command::kSetInputTorque, 4},
                                          {Command::kSetAxisState, 4},
                                          {Command::kSetControllerMode, 8}}) {
        for (int size = 0; size < needed; ++size) {
            const CanFrame frame{
                .id = cansimple::frame_id(1, command), .size = static_cast<std::uint8_t>(size), .data = {1}};
            EXPECT_FALSE(joint.receive(frame)) << size;
        }
    }
    EXPECT_FALSE(joint.receive({.id = cansimple::frame_id(1, Command::kHeartbeat), .size = 8}));
    CanFrame odd{.id = cansimple::frame_id(1, Command::kSetAxisState), .size = 4};
    cansimple::put_u32(odd, 0, 99);
    EXPECT_FALSE(joint.receive(odd));
    odd = {.id = cansimple::frame_id(1, Command::kSetControllerMode), .size = 8};
    EXPECT_FALSE(joint.receive(odd));
    EXPECT_EQ(joint.input(), 0.5);
    EXPECT_EQ(joint.axis_state(), AxisState::kClosedLoop);
}

TEST_F(AxisTest, ReportsWhatTheJointDoes) {
    Axis joint = enabled(0);
    command(joint, 0, 1.0);
    run(joint, 0.2);
    const DriveSample sample = heard(joint, 0, true);
    EXPECT_NEAR(sample.position.value(), joint.joint().state().position, 1e-6);
    EXPECT_NEAR(sample.velocity.value(), joint.joint().state().velocity, 1e-6);
    EXPECT_EQ(sample.axis_state, 8);
    EXPECT_FALSE(sample.effort);  // no state asks for it
    EXPECT_FALSE(heard(joint, 0, false).axis_state);
}

TEST_F(AxisTest, ReportsItsTorqueIfTheRobotHasAStateForIt) {
    robot_.states.push_back(StateChannel{.name = "gripper.effort",
                                         .unit = "N",
                                         .drive = 2,
                                         .quantity = Quantity::kEffort,
                                         .limits = {-5.0, 5.0},
                                         .max_age_ns = 20'000'000});
    Axis gripper = enabled(2);
    command(gripper, 2, 1.5);
    run(gripper, 0.1);
    EXPECT_NEAR(heard(gripper, 2, false).effort.value(), 1.5, 1e-6);
}

TEST_F(AxisTest, NoiseComesFromTheSeedOnly) {
    Axis joint = axis(0);
    std::mt19937_64 one(7), same(7), other(8);
    const DriveSample first = heard(joint, 0, false, &one);
    const DriveSample again = heard(joint, 0, false, &same);
    EXPECT_EQ(first.position, again.position);
    EXPECT_EQ(first.velocity, again.velocity);
    // Positions come in whole counts: two of different noise may be equal.
    EXPECT_NE(first.velocity, heard(joint, 0, false, &other).velocity);
    EXPECT_NE(first.position, 0.0);
    EXPECT_EQ(heard(joint, 0, false).position, 0.0);
}

}  // namespace
}  // namespace holdfast::plant
