// The bytes of CiA 402 (CiA 301, CiA 402-2), and the walks that must not happen.
#include "drive/cia402.hpp"

#include <gtest/gtest.h>

#include "drive/cia402_profile.hpp"
#include "drive/payload.hpp"

namespace holdfast {
namespace {

using cia402::State;
using Bytes = std::array<std::uint8_t, 8>;

Drive test_drive() {
    Drive drive;
    drive.name = "elbow";
    drive.profile = "cia402";
    drive.node = 3;
    drive.turns_per_unit = 2.0;
    drive.counts_per_turn = 1000.0;
    return drive;
}

CanFrame status(State state, std::int8_t mode = 8, std::int32_t position = 0) {
    CanFrame frame{.id = 0x183, .size = 7};
    put_u16(frame, 0, cia402::status_word_of(state));
    frame.data[2] = static_cast<std::uint8_t>(mode);
    put_i32(frame, 3, position);
    return frame;
}

std::uint16_t word_after(DriveProfile& profile, State state) {
    EXPECT_TRUE(profile.decode(status(state)));
    return get_u16(profile.command(0.0)[0], 0);
}

class Cia402 : public testing::Test {
  protected:
    cia402::Profile profile_{test_drive(), ChannelKind::kPosition};
};

TEST_F(Cia402, StatusWordsAreDecodedByTheTableWhateverTheOtherBitsSay) {
    EXPECT_EQ(cia402::state_of(0x0637), State::kOperationEnabled);
    EXPECT_EQ(cia402::state_of(0x0233), State::kSwitchedOn);
    EXPECT_EQ(cia402::state_of(0x0231), State::kReadyToSwitchOn);
    EXPECT_EQ(cia402::state_of(0x0270), State::kSwitchOnDisabled);
    EXPECT_EQ(cia402::state_of(0x0250), State::kSwitchOnDisabled);
    EXPECT_EQ(cia402::state_of(0x0218), State::kFault);
    EXPECT_EQ(cia402::state_of(0x021F), State::kFaultReaction);
    EXPECT_EQ(cia402::state_of(0x0217), State::kQuickStopActive);
    EXPECT_EQ(cia402::state_of(0x0000), State::kNotReady);
    EXPECT_FALSE(cia402::state_of(0x0022));
}

TEST_F(Cia402, CommandCarriesControlWordAndTargetInCounts) {
    ASSERT_TRUE(profile_.decode(status(State::kOperationEnabled)));
    const CanFrame frame = profile_.command(-0.5)[0];
    EXPECT_EQ(frame.id, 0x203u);
    EXPECT_EQ(frame.size, 6);
    EXPECT_EQ(frame.data, (Bytes{0x0F, 0x00, 0x18, 0xFC, 0xFF, 0xFF, 0, 0}));  // -1000 counts
}

TEST_F(Cia402, EnableWritesTheModeAndWalksOneTransitionACycle) {
    const DriveFrames frames = profile_.enable();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].id, 0x603u);
    EXPECT_EQ(frames[0].data, (Bytes{0x2F, 0x60, 0x60, 0x00, 8, 0, 0, 0}));
    EXPECT_EQ(word_after(profile_, State::kSwitchOnDisabled), 0x06);
    EXPECT_EQ(word_after(profile_, State::kReadyToSwitchOn), 0x07);
    EXPECT_EQ(word_after(profile_, State::kSwitchedOn), 0x0F);
    EXPECT_EQ(word_after(profile_, State::kOperationEnabled), 0x0F);
}

TEST_F(Cia402, VelocityChannelAsksForCyclicVelocity) {
    cia402::Profile velocity(test_drive(), ChannelKind::kVelocity);
    EXPECT_EQ(velocity.enable()[0].data[4], 9);
}

// Somebody may stand at the machine when its power comes back.
TEST_F(Cia402, ADriveThatLostItsPowerStageIsNotSwitchedOnAgain) {
    (void)profile_.enable();
    ASSERT_EQ(word_after(profile_, State::kOperationEnabled), 0x0F);
    for (int cycle = 0; cycle < 200; ++cycle) {
        ASSERT_EQ(word_after(profile_, State::kSwitchOnDisabled), 0x00);
        ASSERT_EQ(word_after(profile_, State::kReadyToSwitchOn), 0x06);
        ASSERT_EQ(word_after(profile_, State::kSwitchedOn), 0x07);
    }
}

TEST_F(Cia402, TheWalkEndsByItselfIfNobodyRepeatsIt) {
    (void)profile_.enable();
    for (int cycle = 0; cycle < 100; ++cycle) ASSERT_EQ(word_after(profile_, State::kSwitchOnDisabled), 0x06);
    EXPECT_EQ(word_after(profile_, State::kSwitchOnDisabled), 0x00);
}

// Hazard: the stop comes while a slow drive is on its way into operation.
TEST_F(Cia402, ACancelledWalkGoesNoFurther) {
    (void)profile_.enable();
    ASSERT_EQ(word_after(profile_, State::kSwitchOnDisabled), 0x06);
    profile_.cancel_enable();
    for (int cycle = 0; cycle < 200; ++cycle) {
        ASSERT_EQ(word_after(profile_, State::kReadyToSwitchOn), 0x06);
        ASSERT_EQ(word_after(profile_, State::kSwitchedOn), 0x07);
    }
}

TEST_F(Cia402, ADriveThatHasNotSaidItsModeIsNotPutIntoOperation) {
    (void)profile_.enable();
    for (int cycle = 0; cycle < 50; ++cycle) {
        ASSERT_TRUE(profile_.decode(status(State::kSwitchedOn, 0)));
        ASSERT_EQ(get_u16(profile_.command(0.0)[0], 0), 0x07);
    }
    EXPECT_EQ(word_after(profile_, State::kSwitchedOn), 0x0F);
    // In operation in another mode: out of it.
    ASSERT_TRUE(profile_.decode(status(State::kOperationEnabled, 1)));
    EXPECT_EQ(get_u16(profile_.command(0.0)[0], 0), 0x07);
}

TEST_F(Cia402, ARefusedModeEndsTheWalk) {
    (void)profile_.enable();
    ASSERT_TRUE(
        profile_.decode({.id = 0x583, .size = 8, .data = {0x80, 0x60, 0x60, 0x00, 0x30, 0x00, 0x09, 0x06}}));
    EXPECT_EQ(word_after(profile_, State::kReadyToSwitchOn), 0x06);
}

TEST_F(Cia402, AnErrorOfBeforeARestartOrAResetIsOver) {
    CanFrame emergency{.id = 0x083, .size = 8};
    put_u16(emergency, 0, 0x3220);
    ASSERT_TRUE(profile_.decode(emergency));
    ASSERT_TRUE(profile_.decode({.id = 0x703, .size = 1, .data = {0x00}}));
    EXPECT_EQ(profile_.decode(status(State::kSwitchOnDisabled))->axis_error, 0u);
    ASSERT_TRUE(profile_.decode(emergency));
    EXPECT_EQ(profile_.decode(status(State::kFault))->axis_error, 0x3220u);
    EXPECT_EQ(profile_.decode(status(State::kSwitchOnDisabled))->axis_error, 0u);
}

TEST_F(Cia402, ADriveThatWasNeverHeardGetsAQuickStop) {
    EXPECT_EQ(get_u16(profile_.command(0.3)[0], 0), 0x02);
    (void)profile_.enable();
    EXPECT_EQ(get_u16(profile_.command(0.3)[0], 0), 0x02);
}

TEST_F(Cia402, TheWrongModeIsNotEnabled) {
    EXPECT_EQ(profile_.decode(status(State::kOperationEnabled, 9))->axis_state, kDriveIdle);
    EXPECT_EQ(profile_.decode(status(State::kOperationEnabled, 8))->axis_state, kDriveEnabled);
}

TEST_F(Cia402, AFaultIsResetOnceAndOnlyWhenAskedFor) {
    for (int cycle = 0; cycle < 10; ++cycle) ASSERT_EQ(word_after(profile_, State::kFault), 0x00);
    (void)profile_.clear_errors();
    EXPECT_EQ(word_after(profile_, State::kFault), 0x80);
    EXPECT_EQ(word_after(profile_, State::kFault), 0x00);  // the edge needs a zero before the next one
}

TEST_F(Cia402, AnEmergencyIsAnErrorUntilTheDriveTakesItBack) {
    CanFrame emergency{.id = 0x083, .size = 8};
    put_u16(emergency, 0, 0x4310);
    EXPECT_EQ(profile_.decode(emergency)->axis_error, 0x4310u);
    EXPECT_EQ(profile_.decode(status(State::kOperationEnabled))->axis_error, 0x4310u);
    put_u16(emergency, 0, 0);
    EXPECT_EQ(profile_.decode(emergency)->axis_error, 0u);
}

TEST_F(Cia402, AFaultWithoutANameIsAnErrorToo) {
    EXPECT_EQ(profile_.decode(status(State::kFault))->axis_error, cia402::kErrorFaultUnnamed);
}

TEST_F(Cia402, ARefusedModeIsAnError) {
    CanFrame abort{.id = 0x583, .size = 8, .data = {0x80, 0x60, 0x60, 0x00, 0x30, 0x00, 0x09, 0x06}};
    EXPECT_EQ(profile_.decode(abort)->axis_error, cia402::kErrorModeRefused);
    EXPECT_FALSE(profile_.decode({.id = 0x583, .size = 8, .data = {0x60, 0x60, 0x60}}));
}

TEST_F(Cia402, ANodeThatIsNotOperationalIsStartedOnceAHeartbeat) {
    EXPECT_TRUE(profile_.upkeep().empty());
    ASSERT_TRUE(profile_.decode(status(State::kOperationEnabled)));
    const auto sample = profile_.decode({.id = 0x703, .size = 1, .data = {0x7F}});
    ASSERT_TRUE(sample && sample->heartbeat);
    EXPECT_EQ(sample->axis_state, kDriveIdle);
    const DriveFrames start = profile_.upkeep();
    ASSERT_EQ(start.size(), 1u);
    EXPECT_EQ(start[0].id, 0u);
    EXPECT_EQ(start[0].size, 2);
    EXPECT_EQ(start[0].data, (Bytes{1, 3}));
    EXPECT_TRUE(profile_.upkeep().empty());
    EXPECT_EQ(get_u16(profile_.command(0.0)[0], 0), 0x02) << "an old status word is believed";
    ASSERT_TRUE(profile_.decode({.id = 0x703, .size = 1, .data = {0x05}}));
    EXPECT_TRUE(profile_.upkeep().empty());
}

TEST_F(Cia402, FeedbackIsInChannelUnits) {
    EXPECT_DOUBLE_EQ(profile_.decode(status(State::kOperationEnabled, 8, 500))->position.value(), 0.25);
    CanFrame velocity{.id = 0x283, .size = 4};
    put_i32(velocity, 0, -4000);
    EXPECT_DOUBLE_EQ(profile_.decode(velocity)->velocity.value(), -2.0);
}

}  // namespace
}  // namespace holdfast
