// Axis errors in words that somebody at the machine can act on.
#include <gtest/gtest.h>

#include "drive/drive.hpp"

namespace holdfast {
namespace {

Drive drive_of(const char* profile) {
    Drive drive;
    drive.profile = profile;
    return drive;
}

TEST(AxisErrors, CanSimpleNamesEveryFlag) {
    const Drive drive = drive_of("odrive-cansimple");
    EXPECT_EQ(describe_axis_error(drive, 0x2200), "DC bus under voltage, motor over temperature (0x2200)");
    EXPECT_EQ(describe_axis_error(drive, 0x80), "unknown error (0x80)");
    EXPECT_EQ(describe_axis_error(drive, 0x0200'0000), "e-stop requested (0x2000000)");
}

TEST(AxisErrors, Cia402NamesTheCodeOrElseItsClass) {
    const Drive drive = drive_of("cia402");
    EXPECT_EQ(describe_axis_error(drive, 0x3210), "DC link over voltage (EMCY 0x3210)");
    EXPECT_EQ(describe_axis_error(drive, 0x3331), "voltage (EMCY 0x3331)");
    EXPECT_EQ(describe_axis_error(drive, 0xFF01), "additional functions or the maker's own (EMCY 0xff01)");
    EXPECT_EQ(describe_axis_error(drive, 0x0001'0000),
              "fault, and the drive does not say which (status word)");
}

}  // namespace
}  // namespace holdfast
