#include "drive/cansimple.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "drive/drive.hpp"

namespace holdfast {
namespace {

using Bytes = std::array<std::uint8_t, 8>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Drive test_drive() {
    Drive drive;
    drive.name = "elbow";
    drive.node = 3;
    drive.turns_per_unit = 2.0;
    return drive;
}

CanFrame feedback(cansimple::Command command, float first, float second) {
    CanFrame frame{.id = cansimple::frame_id(3, command), .size = 8};
    cansimple::put_f32(frame, 0, first);
    cansimple::put_f32(frame, 4, second);
    return frame;
}

TEST(CanSimple, IdIsNodeAndCommandAsTheManualsExampleSays) {
    EXPECT_EQ(cansimple::frame_id(0x01, cansimple::Command::kSetInputPos), 0x2Cu);
    EXPECT_EQ(cansimple::frame_id(0x3F, cansimple::Command::kGetTorques), 0x7FCu);
}

TEST(CanSimple, PositionFrame) {
    const auto frame = cansimple::command_frame(test_drive(), ChannelKind::kPosition, 0.75);
    EXPECT_EQ(frame.id, 0x6Cu);
    EXPECT_EQ(frame.size, 8);
    EXPECT_EQ(frame.data, (Bytes{0x00, 0x00, 0xC0, 0x3F, 0, 0, 0, 0}));  // 1.5 turns, no feed-forward
}

TEST(CanSimple, VelocityFrame) {
    const auto frame = cansimple::command_frame(test_drive(), ChannelKind::kVelocity, -1.0);
    EXPECT_EQ(frame.id, 0x6Du);
    EXPECT_EQ(frame.size, 8);
    EXPECT_EQ(frame.data, (Bytes{0x00, 0x00, 0x00, 0xC0, 0, 0, 0, 0}));  // -2 turns/s
}

TEST(CanSimple, EffortFrameIsTorqueAtTheMotor) {
    // 4 pi N m at the joint times 1 rad/s is 1 N m times 2 turns/s at the motor.
    const auto frame = cansimple::command_frame(test_drive(), ChannelKind::kEffort, 4.0 * std::numbers::pi);
    EXPECT_EQ(frame.id, 0x6Eu);
    EXPECT_EQ(frame.size, 4);
    EXPECT_EQ(frame.data, (Bytes{0x00, 0x00, 0x80, 0x3F, 0, 0, 0, 0}));
}

TEST(CanSimple, ZeroIsAFrameToo) {
    const auto frame = cansimple::command_frame(test_drive(), ChannelKind::kVelocity, 0.0);
    EXPECT_EQ(frame.id, 0x6Du);
    EXPECT_EQ(frame.size, 8);
    EXPECT_EQ(frame.data, Bytes{});
}

TEST(CanSimple, ValueThatIsNotFiniteNeverReachesTheDriveAsASetpoint) {
    for (const auto kind : {ChannelKind::kPosition, ChannelKind::kVelocity, ChannelKind::kEffort}) {
        for (const double value : {static_cast<double>(kNaN), static_cast<double>(kInfinity),
                                   -static_cast<double>(kInfinity), 1e300}) {
            const auto frame = cansimple::command_frame(test_drive(), kind, value);
            EXPECT_EQ(frame.id, 0x62u) << value;  // Estop
            EXPECT_EQ(frame.size, 0);
        }
    }
}

struct EnableCase {
    ChannelKind kind;
    std::uint8_t mode;
};

class CanSimpleEnable : public testing::TestWithParam<EnableCase> {};

TEST_P(CanSimpleEnable, ClearsErrorsSetsTheModeThenClosesTheLoop) {
    std::array<CanFrame, cansimple::kMaxEnableFrames> frames;
    ASSERT_EQ(cansimple::enable_frames(test_drive(), GetParam().kind, frames), 3u);
    EXPECT_EQ(frames[0].id, 0x78u);
    EXPECT_EQ(frames[0].size, 1);
    EXPECT_EQ(frames[0].data, Bytes{});
    EXPECT_EQ(frames[1].id, 0x6Bu);
    EXPECT_EQ(frames[1].size, 8);
    EXPECT_EQ(frames[1].data, (Bytes{GetParam().mode, 0, 0, 0, 1, 0, 0, 0}));  // pass-through
    EXPECT_EQ(frames[2].id, 0x67u);
    EXPECT_EQ(frames[2].size, 4);
    EXPECT_EQ(frames[2].data, (Bytes{8}));
}

INSTANTIATE_TEST_SUITE_P(EveryKind, CanSimpleEnable,
                         testing::Values(EnableCase{ChannelKind::kEffort, 1},
                                         EnableCase{ChannelKind::kVelocity, 2},
                                         EnableCase{ChannelKind::kPosition, 3}));

TEST(CanSimple, IdleFrame) {
    const auto frame = cansimple::idle_frame(test_drive());
    EXPECT_EQ(frame.id, 0x67u);
    EXPECT_EQ(frame.size, 4);
    EXPECT_EQ(frame.data, (Bytes{1}));
}

TEST(CanSimple, DecodesEncoderEstimatesInChannelUnits) {
    const CanFrame frame{.id = 0x69, .size = 8, .data = {0x00, 0x00, 0xC0, 0x3F, 0x00, 0x00, 0x00, 0xC0}};
    const auto sample = cansimple::decode(test_drive(), frame);
    ASSERT_TRUE(sample);
    EXPECT_EQ(sample->position, 0.75);
    EXPECT_EQ(sample->velocity, -1.0);
    EXPECT_FALSE(sample->effort || sample->axis_error || sample->axis_state);
}

TEST(CanSimple, DecodesTheTorqueEstimateNotItsTarget) {
    const auto sample =
        cansimple::decode(test_drive(), feedback(cansimple::Command::kGetTorques, 9.0F, 1.0F));
    ASSERT_TRUE(sample && sample->effort);
    EXPECT_DOUBLE_EQ(*sample->effort, 4.0 * std::numbers::pi);
    EXPECT_FALSE(sample->position || sample->velocity || sample->axis_error || sample->axis_state);
}

TEST(CanSimple, DecodesTheHeartbeat) {
    const CanFrame frame{.id = 0x61, .size = 8, .data = {0x00, 0x00, 0x00, 0x02, 8, 0, 0, 0}};
    const auto sample = cansimple::decode(test_drive(), frame);
    ASSERT_TRUE(sample);
    EXPECT_EQ(sample->axis_error, cansimple::kAxisErrorEstopRequested);
    EXPECT_EQ(sample->axis_state, 8);
    EXPECT_FALSE(sample->position || sample->velocity || sample->effort);
}

TEST(CanSimple, RefusesValuesThatAreNotFinite) {
    using cansimple::Command;
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        EXPECT_FALSE(cansimple::decode(test_drive(), feedback(Command::kGetEncoderEstimates, bad, 0.0F)));
        EXPECT_FALSE(cansimple::decode(test_drive(), feedback(Command::kGetEncoderEstimates, 0.0F, bad)));
        EXPECT_FALSE(cansimple::decode(test_drive(), feedback(Command::kGetTorques, 0.0F, bad)));
    }
}

TEST(CanSimple, RefusesTruncatedFrames) {
    using cansimple::Command;
    for (const auto command : {Command::kHeartbeat, Command::kGetEncoderEstimates, Command::kGetTorques}) {
        CanFrame frame = feedback(command, 1.0F, 1.0F);
        ASSERT_TRUE(cansimple::decode(test_drive(), frame));
        for (std::uint8_t size = 0; size < 8; ++size) {
            frame.size = size;
            EXPECT_FALSE(cansimple::decode(test_drive(), frame)) << int{size};
        }
    }
}

TEST(CanSimple, IgnoresOtherDrivesAndEveryUnknownCommand) {
    CanFrame frame{.id = 0x49, .size = 8};  // node 2
    EXPECT_FALSE(cansimple::decode(test_drive(), frame));
    for (std::uint32_t command = 0; command < 32; ++command) {
        const bool known = command == 0x01 || command == 0x09 || command == 0x1C;
        frame.id = 3u << 5 | command;
        EXPECT_EQ(cansimple::decode(test_drive(), frame).has_value(), known) << command;
    }
}

TEST(CanSimple, WhatIsSentComesBackEqualThroughADriveThatFollows) {
    for (const double value : {-3.0, -1e-3, 0.0, 0.1, 2.5}) {
        const auto sent = cansimple::command_frame(test_drive(), ChannelKind::kPosition, value);
        const auto sample = cansimple::decode(test_drive(), feedback(cansimple::Command::kGetEncoderEstimates,
                                                                     cansimple::get_f32(sent, 0), 0.0F));
        ASSERT_TRUE(sample && sample->position);
        EXPECT_NEAR(*sample->position, value, 1e-6);
    }
}

}  // namespace
}  // namespace holdfast
