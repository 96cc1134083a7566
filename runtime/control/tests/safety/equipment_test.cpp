// Sensors, the hardware watchdog and GPIO lines, as far as they can be had without hardware; the scenario
// `safety-lines` of the bench proves the rest with gpio-sim and softdog.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "safety/gpio_lines.hpp"
#include "safety/health.hpp"
#include "safety/named_devices.hpp"
#include "safety/watchdog.hpp"
#include "temporary_directory.hpp"
#include "test_process.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
  protected:
    fs::path write(const fs::path& name, const std::string& text) const {
        const fs::path file = directory_.path() / name;
        fs::create_directories(file.parent_path());
        std::ofstream(file) << text;
        return file;
    }
    TemporaryDirectory directory_;
};

using Temperature = Files;
using MemoryPressure = Files;
using Sampler = Files;

TEST_F(Temperature, IsThatOfTheHottestZone) {
    write("thermal_zone0/temp", "41500\n");
    write("thermal_zone1/temp", "67000\n");
    write("thermal_zone2/temp", "-3000\n");
    write("cooling_device0/temp", "99000\n");
    EXPECT_EQ(ThermalZones(directory_.path()).sample(), 67'000);
}

TEST_F(Temperature, OfABrokenZoneDoesNotCount) {
    write("thermal_zone0/temp", "no number\n");
    write("thermal_zone1/temp", "400000\n");
    write("thermal_zone2/temp", "-274000\n");
    fs::create_directories(directory_.path() / "thermal_zone3");
    EXPECT_EQ(ThermalZones(directory_.path()).sample(), std::nullopt);
    write("thermal_zone4/temp", "0\n");
    EXPECT_EQ(ThermalZones(directory_.path()).sample(), 0);
}

TEST_F(Temperature, WithoutZonesIsNotKnown) {
    EXPECT_EQ(ThermalZones(directory_.path() / "none").sample(), std::nullopt);
}

TEST_F(Temperature, OfADeadZoneIsNotHiddenByTheCoolerOnes) {
    write("thermal_zone0/temp", "41000\n");
    const auto hottest = write("thermal_zone1/temp", "90000\n");
    ThermalZones zones(directory_.path());
    ASSERT_EQ(zones.sample(), 90'000);
    fs::remove(hottest);
    for (int i = 1; i < kMaxZoneMisses; ++i)
        EXPECT_EQ(zones.sample(), 90'000) << "a missed sample is no death";
    EXPECT_EQ(zones.sample(), std::nullopt);
    EXPECT_EQ(zones.sample(), std::nullopt);
    write("thermal_zone1/temp", "60000\n");
    EXPECT_EQ(zones.sample(), 60'000) << "it lives again";
}

TEST_F(Temperature, OfAZoneThatOnlyMissesSamplesIsItsLast) {
    write("thermal_zone0/temp", "41000\n");
    ThermalZones zones(directory_.path());
    ASSERT_EQ(zones.sample(), 41'000);
    for (int i = 0; i < 2 * kMaxZoneMisses; ++i) {
        write("thermal_zone0/temp", "busy\n");
        EXPECT_EQ(zones.sample(), 41'000) << i;
        write("thermal_zone0/temp", "41000\n");
        EXPECT_EQ(zones.sample(), 41'000) << i;
    }
    fs::remove_all(directory_.path() / "thermal_zone0");
    for (int i = 1; i < kMaxZoneMisses; ++i) EXPECT_EQ(zones.sample(), 41'000);
    EXPECT_EQ(zones.sample(), std::nullopt) << "its directory is gone too";
}

TEST_F(Temperature, OfAZoneThatNeverWasReadableIsNotMissed) {
    write("thermal_zone0/temp", "41000\n");
    write("thermal_zone1/temp", "no number\n");
    ThermalZones zones(directory_.path());
    for (int i = 0; i < 2 * kMaxZoneMisses; ++i) EXPECT_EQ(zones.sample(), 41'000);
}

TEST_F(MemoryPressure, IsTheShareInWhichEverybodyWaited) {
    const auto file = write("memory",
                            "some avg10=80.00 avg60=1.00 avg300=0.00 total=5\n"
                            "full avg10=12.34 avg60=1.00 avg300=0.00 total=5\n");
    EXPECT_EQ(read_memory_pressure(file), 1'234);
}

TEST_F(MemoryPressure, ThatMakesNoSenseIsNotKnown) {
    for (const char* text : {"", "some avg10=1.00 avg60=1.00\n", "full avg10= avg60=1.00\n",
                             "full avg10=x avg60=1\n", "full avg10=nan avg60=1\n", "full avg10=101 avg60=1\n",
                             "full avg10=-1 avg60=1\n", "full avg60=1 avg300=1\n"}) {
        EXPECT_EQ(read_memory_pressure(write("memory", text)), std::nullopt) << text;
    }
    EXPECT_EQ(read_memory_pressure(directory_.path() / "none"), std::nullopt);
}

TEST_F(Sampler, BringsEachSampleWithANewNumber) {
    write("zones/thermal_zone0/temp", "50000\n");
    const auto pressure = write("memory", "full avg10=1.00 avg60=1.00\n");
    Mailbox mailbox;
    const HealthSampler sampler(mailbox, directory_.path() / "zones", pressure);
    ASSERT_TRUE(eventually([&] { return mailbox.health_samples.load() >= 1; }));
    EXPECT_EQ(mailbox.temperature.load(), 50'000);
    EXPECT_EQ(mailbox.memory_pressure.load(), 100);
    fs::remove(pressure);
    fs::remove_all(directory_.path() / "zones");
    ASSERT_TRUE(eventually([&] { return mailbox.temperature.load() == kNotKnown; }));
    ASSERT_TRUE(eventually([&] { return mailbox.memory_pressure.load() == kNotKnown; }));
}

// Hazard: a loop that starts before the first sample finds a required temperature unknown, and latches.
TEST_F(Sampler, HasItsFirstSampleBeforeAnybodyCanLook) {
    write("zones/thermal_zone0/temp", "50000\n");
    Mailbox mailbox;
    const HealthSampler sampler(mailbox, directory_.path() / "zones",
                                write("memory", "full avg10=1.00 avg60=1.00\n"));
    EXPECT_GE(mailbox.health_samples.load(), 1u);
    EXPECT_EQ(mailbox.temperature.load(), 50'000);
}

// A pipe in place of the device: what is written is what the driver would get.
class Watchdog : public testing::Test {
  protected:
    void SetUp() override {
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
        reader_ = FileDescriptor(ends[0]);
        watchdog_.emplace(FileDescriptor(ends[1]));
    }
    std::string heard() const {
        std::string text(64, '?');
        const ssize_t size = ::read(reader_.get(), text.data(), text.size());
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }
    FileDescriptor reader_;
    std::optional<HardwareWatchdog> watchdog_;
};

TEST_F(Watchdog, IsFedWithAnythingButTheMagic) {
    EXPECT_TRUE(watchdog_->feed());
    EXPECT_EQ(heard(), std::string(1, '\0'));
}

TEST_F(Watchdog, IsSwitchedOffByTheMagicAlone) {
    EXPECT_TRUE(watchdog_->feed());
    static_cast<void>(heard());
    watchdog_->switch_off();
    EXPECT_EQ(heard(), "V");
    EXPECT_FALSE(watchdog_->feed()) << "it is closed";
}

TEST_F(Watchdog, StaysOnWhenItsProcessEnds) {
    watchdog_.reset();
    EXPECT_EQ(heard(), "");
}

TEST_F(Watchdog, ThatCannotBeFedSaysSo) {
    reader_ = FileDescriptor();
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_FALSE(watchdog_->feed());
}

TEST(WatchdogDevice, ThatIsNoneIsRefusedWithASentence) {
    for (const char* device : {"/dev/null", "/dev/no-watchdog"}) {
        const auto opened = HardwareWatchdog::open(device, 10);
        ASSERT_FALSE(opened) << device;
        EXPECT_NE(opened.error().message.find("ls /dev/watchdog*"), std::string::npos)
            << opened.error().message;
    }
}

using Gpio = Files;

TEST_F(Gpio, LinesThatAreNotToBeHadReadAsUnreadableAndSayWhy) {
    SafetyConfig config;
    config.estop_lines = {{"gpiochip0", 5}, {"bench", 6}};
    config.enable_line = GpioLine{"gpiochip1", 7};
    write("gpiochip0", "a file, no chip");
    GpioLines lines(config, directory_.path());
    EXPECT_FALSE(lines.read_estop().readable);
    EXPECT_FALSE(lines.set_enable(true));
    ASSERT_EQ(lines.problems().size(), 3u);
    EXPECT_NE(lines.problems()[0].find("gpiochip0:5: cannot be taken"), std::string::npos)
        << lines.problems()[0];
    EXPECT_NE(lines.problems()[1].find("there is no GPIO chip \"bench\""), std::string::npos)
        << lines.problems()[1];
    EXPECT_NE(lines.problems()[2].find("enable line"), std::string::npos) << lines.problems()[2];
}

TEST_F(Gpio, LinesThatAreMissingAreTriedAgain) {
    SafetyConfig config;
    config.enable_line = GpioLine{"gpiochip0", 7};
    GpioLines lines(config, directory_.path());
    EXPECT_FALSE(lines.complete());
    EXPECT_FALSE(lines.has_enable_line());
    ASSERT_EQ(lines.problems().size(), 1u);
    EXPECT_NE(lines.problems()[0].find("there is no GPIO chip"), std::string::npos) << lines.problems()[0];
    write("gpiochip0", "a file, no chip");
    lines.take_missing();
    ASSERT_EQ(lines.problems().size(), 1u);
    EXPECT_NE(lines.problems()[0].find("cannot be taken"), std::string::npos) << lines.problems()[0];
}

TEST_F(Gpio, ARobotWithoutWiresLacksNothing) {
    const SafetyConfig config;
    NamedDevices named(config, directory_.path());
    EXPECT_TRUE(named.take_missing());
    EXPECT_TRUE(named.problems().empty());
}

TEST_F(Gpio, NamedDevicesSayAllThatIsMissing) {
    SafetyConfig config;
    config.watchdog = "/dev/no-watchdog";
    config.enable_line = GpioLine{"gpiochip0", 7};
    NamedDevices named(config, directory_.path());
    ASSERT_EQ(named.problems().size(), 1u) << "the lines are tried at once";
    for (int i = 0; i < 2; ++i) {
        EXPECT_FALSE(named.take_missing());
        ASSERT_EQ(named.problems().size(), 2u);
        EXPECT_NE(named.problems()[0].find("/dev/no-watchdog"), std::string::npos);
        EXPECT_NE(named.problems()[1].find("enable line"), std::string::npos);
    }
    EXPECT_TRUE(named.watchdog_missing());
}

TEST(DeviceArrival, IsWaitedFor) {
    int attempts = 0;
    EXPECT_EQ(wait_for_devices([&] { return ++attempts == 3; }, std::chrono::hours(1)), Arrival::kAll);
    EXPECT_EQ(attempts, 3);
}

TEST(DeviceArrival, IsNotWaitedForLongerThanThePatience) {
    int attempts = 0;
    const auto never = [&] {
        ++attempts;
        return false;
    };
    EXPECT_EQ(wait_for_devices(never, std::chrono::milliseconds(0)), Arrival::kSomeMissing);
    EXPECT_EQ(attempts, 1);
}

TEST(DeviceArrival, IsGivenUpWhenTheDaemonIsToldToEnd) {
    sigset_t ending, before;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, &before);
    ::raise(SIGTERM);
    EXPECT_EQ(wait_for_devices([] { return false; }, std::chrono::hours(1)), Arrival::kEnded);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Gpio, ARobotWithoutWiresHasNoProblems) {
    GpioLines lines(SafetyConfig{}, directory_.path());
    EXPECT_TRUE(lines.problems().empty());
    EXPECT_TRUE(lines.read_estop().readable);
}

}  // namespace
}  // namespace holdfast::safety
