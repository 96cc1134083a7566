// What the frames of a robot need of its buses.
#include "robot/bus_load.hpp"

#include <gtest/gtest.h>

#include "robot/link_url.hpp"

namespace holdfast {
namespace {

// One velocity drive a link entry of `links`.
RobotConfig robot_on(const std::vector<std::string>& links) {
    RobotConfig robot;
    for (const std::string& link : links) {
        CommandChannel command;
        command.kind = ChannelKind::kVelocity;
        robot.commands.push_back(command);
        Drive drive;
        drive.link = link;
        drive.profile = "odrive-cansimple";
        drive.command = robot.commands.size() - 1;
        robot.drives.push_back(drive);
    }
    return robot;
}

double bits_of(const RobotConfig& robot) { return bus_loads(robot).at(0).bits_per_s; }

// Davis et al. 2007, table of maximum transmission times: 55 bits without data to 135 with eight bytes.
TEST(BusLoad, FrameBitsAreTheWorstCaseOfTheStandard) {
    EXPECT_EQ(can_frame_bits(0), 55u);
    EXPECT_EQ(can_frame_bits(1), 65u);
    EXPECT_EQ(can_frame_bits(8), 135u);
}

TEST(BusLoad, ADriveSendsAndReceivesOnceACycleAndBeats) {
    RobotConfig robot = robot_on({"can:can0"});
    EXPECT_DOUBLE_EQ(bits_of(robot), 135.0 * (1000 + 1000 + 10));
    robot.control.tier1_hz = 500;
    EXPECT_DOUBLE_EQ(bits_of(robot), 135.0 * (500 + 500 + 10));
    robot.drives[0].feedback_hz = 100;
    robot.drives[0].heartbeat_ns = 1'000'000'000;
    EXPECT_DOUBLE_EQ(bits_of(robot), 135.0 * (500 + 100 + 1));
    robot.commands[0].kind = ChannelKind::kEffort;
    EXPECT_DOUBLE_EQ(bits_of(robot), 95.0 * 500 + 135.0 * (100 + 1));
}

TEST(BusLoad, AnEffortStateCostsAFrame) {
    RobotConfig robot = robot_on({"can:can0"});
    StateChannel effort;
    effort.quantity = Quantity::kEffort;
    robot.states.push_back(effort);
    EXPECT_DOUBLE_EQ(bits_of(robot), 135.0 * 3010);
    robot.states[0].sensor = 0;
    EXPECT_DOUBLE_EQ(bits_of(robot), 135.0 * 2010);
}

TEST(BusLoad, Cia402DrivesShareOneSync) {
    RobotConfig robot = robot_on({"can:can0", "can:can0"});
    for (Drive& drive : robot.drives) drive.profile = "cia402";
    const double drive =
        1000.0 * (can_frame_bits(6) + can_frame_bits(7) + can_frame_bits(4)) + 10.0 * can_frame_bits(1);
    EXPECT_DOUBLE_EQ(bits_of(robot), 1000.0 * can_frame_bits(0) + 2 * drive);
}

TEST(BusLoad, SensorsCountWithTheirRate) {
    RobotConfig robot = robot_on({"can:can0"});
    const double drive = bits_of(robot);
    robot.sensors = {
        {.name = "imu", .link = "can:can0", .profile = SensorProfile::kImu, .node = 9, .rate_hz = 200},
        {.name = "gate", .link = "can:can0", .profile = SensorProfile::kDistance, .node = 10}};
    EXPECT_DOUBLE_EQ(bits_of(robot), drive + 3 * 200 * 135.0 + 1000 * 95.0);
}

TEST(BusLoad, EachLinkHasItsOwn) {
    const auto loads = bus_loads(robot_on({"can:can0", "can:can1", "can:can0"}));
    ASSERT_EQ(loads.size(), 2u);
    EXPECT_EQ(loads[0].url, "can:can0");
    EXPECT_DOUBLE_EQ(loads[0].bits_per_s, 2 * loads[1].bits_per_s);
}

TEST(BusLoad, BitRateComesFromTheSectionTheNameOrTheUrl) {
    RobotConfig robot = robot_on({"can:can0"});
    EXPECT_EQ(bus_loads(robot)[0].bitrate, 1e6);
    robot.links = {{.name = "arm", .url = "can:can0", .bitrate = 500'000}};
    EXPECT_EQ(bus_loads(robot)[0].bitrate, 500e3);
    EXPECT_EQ(bus_loads(robot_on({"can:vcan0"}))[0].bitrate, 0.0);
    EXPECT_EQ(bus_loads(robot_on({"unix:plant.sock"}))[0].bitrate, 0.0);
    EXPECT_EQ(bus_loads(robot_on({"serial:/dev/ttyUSB0?baud=921600"}))[0].bitrate, 921'600.0);
}

// Both directions of a serial line run at once: the busier one counts.
TEST(BusLoad, ASerialLineCountsItsBusierDirection) {
    EXPECT_DOUBLE_EQ(bits_of(robot_on({"serial:/dev/ttyUSB0?baud=921600"})), 140.0 * (1000 + 10));
}

TEST(BusLoad, IsSaidInWords) {
    EXPECT_EQ(text_of(bus_loads(robot_on({"can:can0"}))[0]),
              "can:can0: 2010 frames/s, 27.1 % of 1000000 bit/s");
    EXPECT_EQ(text_of(bus_loads(robot_on({"can:vcan0"}))[0]),
              "can:vcan0: 2010 frames/s, 271350 bit/s on a link without a bit rate");
}

TEST(LinkUrl, IsParsedOrRefused) {
    const auto serial = parse_link_url("serial:/dev/ttyUSB0?baud=115200");
    ASSERT_TRUE(serial);
    EXPECT_EQ(serial->scheme, LinkScheme::kSerial);
    EXPECT_EQ(serial->place, "/dev/ttyUSB0");
    EXPECT_EQ(serial->baud, 115'200u);
    EXPECT_TRUE(parse_link_url("can:can0") && parse_link_url("unix:a.sock"));
    for (const char* bad :
         {"", "can:", "can:a/b", "can:sixteen-letters-x", "unix:", "serial:", "serial:/dev/ttyS0",
          "serial:?baud=115200", "serial:/dev/ttyS0?baud=", "serial:/dev/ttyS0?baud=115201",
          "serial:/dev/ttyS0?baud=0115200", "serial:/dev/ttyS0?baud=115200x",
          "serial:/dev/ttyS0?speed=115200", "tcp:host"}) {
        EXPECT_FALSE(parse_link_url(bad)) << bad;
    }
}

}  // namespace
}  // namespace holdfast
