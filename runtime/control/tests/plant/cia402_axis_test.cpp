// The simulated CiA 402 drive by itself: what it must refuse, and what it does on a quick stop.
#include "plant/cia402_axis.hpp"

#include <gtest/gtest.h>

#include <array>

#include "drive/payload.hpp"
#include "test_robot.hpp"

namespace holdfast::plant {
namespace {

using cia402::State;

constexpr double kStepS = 1e-3;
constexpr std::size_t kSpindle = 1;

RobotConfig cia402_robot() {
    RobotConfig robot = test_robot();
    for (Drive& drive : robot.drives) {
        drive.profile = "cia402";
        drive.counts_per_turn = 1000.0;
    }
    return robot;
}

class Cia402AxisTest : public testing::Test {
  protected:
    void start() {
        CanFrame frame{.id = cia402::kNmtId, .size = 2, .data = {1, 2}};
        ASSERT_TRUE(axis_.receive(frame));
    }
    void set_mode(std::int8_t mode) {
        CanFrame frame{.id = cia402::kSdoToServer + 2, .size = 8, .data = {0x2F, 0x60, 0x60, 0}};
        frame.data[4] = static_cast<std::uint8_t>(mode);
        ASSERT_TRUE(axis_.receive(frame));
    }
    void command(std::uint16_t word, std::int32_t target = 0) {
        CanFrame frame{.id = cia402::kRpdo1 + 2, .size = 6};
        put_u16(frame, 0, word);
        put_i32(frame, 2, target);
        ASSERT_TRUE(axis_.receive(frame));
    }
    void enable() {
        start();
        set_mode(9);
        for (const std::uint16_t word : std::array<std::uint16_t, 3>{0x06, 0x07, 0x0F}) command(word);
        ASSERT_EQ(axis_.state(), State::kOperationEnabled);
    }
    void run(int steps) {
        for (int i = 0; i < steps; ++i) axis_.step(kStepS);
    }

    RobotConfig robot_ = cia402_robot();
    Cia402Axis axis_{robot_, kSpindle};
};

TEST_F(Cia402AxisTest, TakesNoPdoBeforeItIsStarted) {
    command(0x06);
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
    const DriveFrames silent = axis_.feedback({.feedback = true, .heartbeat = true}, axis_.joint().state());
    ASSERT_EQ(silent.size(), 1u);
    EXPECT_EQ(silent[0].id, 0x702u);
    EXPECT_EQ(silent[0].data[0], 0x00) << "boot-up";
    start();
    EXPECT_EQ(axis_.feedback({.feedback = true, .heartbeat = false}, axis_.joint().state()).size(), 2u);
}

TEST_F(Cia402AxisTest, WalksOneTransitionAControlWordAndNeverSkipsTheFirst) {
    start();
    set_mode(9);
    command(0x0F);
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
    command(0x06);
    EXPECT_EQ(axis_.state(), State::kReadyToSwitchOn);
    command(0x07);
    EXPECT_EQ(axis_.state(), State::kSwitchedOn);
    command(0x0F);
    EXPECT_EQ(axis_.state(), State::kOperationEnabled);
    command(0x00);
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
}

TEST_F(Cia402AxisTest, WithoutAModeItIsNotEnabled) {
    start();
    for (const std::uint16_t word : std::array<std::uint16_t, 4>{0x06, 0x07, 0x0F, 0x0F}) command(word);
    EXPECT_EQ(axis_.state(), State::kSwitchedOn);
}

TEST_F(Cia402AxisTest, UnknownModeIsAborted) {
    CanFrame frame{.id = cia402::kSdoToServer + 2, .size = 8, .data = {0x2F, 0x60, 0x60, 0, 1}};
    const auto received = axis_.receive(frame);
    ASSERT_TRUE(received && received->reply);
    EXPECT_EQ(received->reply->id, 0x582u);
    EXPECT_EQ(received->reply->data[0], 0x80);
    EXPECT_STREQ(axis_.mode_name(), "none");
}

TEST_F(Cia402AxisTest, QuickStopBringsTheJointToRestAndThenTakesTheTorque) {
    enable();
    command(0x0F, 20'000);  // 10 rad/s
    run(1000);
    ASSERT_NEAR(axis_.joint().state().velocity, 10.0, 1e-2);
    command(0x02, 20'000);
    EXPECT_EQ(axis_.state(), State::kQuickStopActive);
    run(2000);
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
    EXPECT_NEAR(axis_.joint().state().velocity, 0.0, 2e-3);
}

TEST_F(Cia402AxisTest, AFaultIsResetByAnEdgeOnly) {
    enable();
    command(0x80);  // a reset bit that stands already when the fault comes
    axis_.fail(0x2310);
    EXPECT_EQ(axis_.state(), State::kFault);
    command(0x80);
    EXPECT_EQ(axis_.state(), State::kFault);
    command(0x00);
    command(0x80);
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
    EXPECT_EQ(axis_.axis_error(), 0u);
}

TEST_F(Cia402AxisTest, AFaultSendsItsEmergencyAndTheResetTakesItBack) {
    enable();
    axis_.fail(0x2310);
    const DriveFrames first = axis_.feedback({}, axis_.joint().state());
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].id, 0x082u);
    EXPECT_EQ(get_u16(first[0], 0), 0x2310);
    EXPECT_TRUE(axis_.feedback({}, axis_.joint().state()).empty());
    command(0x80);
    EXPECT_EQ(get_u16(axis_.feedback({}, axis_.joint().state())[0], 0), 0);
}

TEST_F(Cia402AxisTest, RefusesMalformedFrames) {
    start();
    for (std::uint8_t size = 0; size <= 8; ++size) {
        if (size != 6) {
            EXPECT_FALSE(axis_.receive({.id = cia402::kRpdo1 + 2, .size = size})) << int{size};
        }
        if (size != 8) {
            EXPECT_FALSE(axis_.receive({.id = cia402::kSdoToServer + 2, .size = size})) << int{size};
        }
        if (size != 2) {
            EXPECT_FALSE(axis_.receive({.id = cia402::kNmtId, .size = size, .data = {1, 2}})) << int{size};
        }
    }
    EXPECT_EQ(axis_.state(), State::kSwitchOnDisabled);
}

}  // namespace
}  // namespace holdfast::plant
