// robot.toml as the C++ side reads it. The files are shared with the Python twin (runtime/tests).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <vector>

#include "robot/config.hpp"

namespace holdfast {
namespace {

namespace fs = std::filesystem;

const fs::path kRepository = HOLDFAST_REPOSITORY;
const fs::path kFiles = kRepository / "runtime/tests/robot_toml";

std::vector<fs::path> files_in(const std::string& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(kFiles / folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

std::string test_name(const testing::TestParamInfo<fs::path>& info) { return info.param.stem().string(); }

class Variable {
  public:
    Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() { unsetenv(name_); }

  private:
    const char* name_;
};

class ValidFile : public testing::TestWithParam<fs::path> {};
TEST_P(ValidFile, IsAccepted) {
    const auto config = load_robot_config(GetParam());
    EXPECT_TRUE(config) << config.error().message;
}
INSTANTIATE_TEST_SUITE_P(RobotToml, ValidFile, testing::ValuesIn(files_in("valid")), test_name);

class InvalidFile : public testing::TestWithParam<fs::path> {};
TEST_P(InvalidFile, IsRefusedWithKeyAndLine) {
    std::string first;
    std::ifstream in(GetParam());
    std::getline(in, first);
    std::smatch expected;
    ASSERT_TRUE(std::regex_match(first, expected, std::regex("# expect: (.+) line ([0-9]+)"))) << first;
    const auto config = load_robot_config(GetParam());
    ASSERT_FALSE(config);
    const std::string place = GetParam().string() + ":" + expected[2].str() + ": " + expected[1].str();
    EXPECT_NE(config.error().message.find(place), std::string::npos) << "no \"" << place << "\" in:\n"
                                                                     << config.error().message;
}
INSTANTIATE_TEST_SUITE_P(RobotToml, InvalidFile, testing::ValuesIn(files_in("invalid")), test_name);

TEST(LoadRobotConfig, ReadsTheExampleRobot) {
    const auto config = load_robot_config(kRepository / "examples/robots/arm.toml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->id, "arm-01");
    EXPECT_EQ(config->commands.size(), 6u);
    EXPECT_EQ(config->states.size(), 10u);
    EXPECT_EQ(config->tier1_period_ns(), 1'000'000);
    EXPECT_EQ(config->controller_period_ns(), 10'000'000);
    EXPECT_EQ(config->tick_budget_ns(), 8'000'000);
    EXPECT_EQ(config->safety.core_timeout_ns, 5'000'000);
    const CommandChannel& elbow = config->commands[2];
    EXPECT_EQ(elbow.kind, ChannelKind::kPosition);
    EXPECT_EQ(elbow.limits.min, -2.5);
    EXPECT_EQ(config->states.at(*elbow.position_state).name, "elbow.position");
    EXPECT_EQ(config->drives[2].command, 2u);
    EXPECT_EQ(config->states[0].max_age_ns, 20'000'000);
}

TEST(LoadRobotConfig, ReadsEveryKey) {
    const auto config = load_robot_config(kFiles / "valid/every_key.toml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->model, "mini");
    EXPECT_EQ(config->control.tier1_hz, 500u);
    EXPECT_EQ(config->control.controller_hz, 50u);
    EXPECT_EQ(config->control.realtime, RealtimeMode::kPrefer);
    EXPECT_EQ(config->control.tier1_priority, 70);
    EXPECT_EQ(config->control.controller_priority, 60);
    EXPECT_EQ(config->control.cpu, 1);
    EXPECT_EQ(config->control.overrun_limit, 3u);
    EXPECT_EQ(config->control.overrun_window, 500u);
    EXPECT_EQ(config->control.safety_silent_cycles, 25u);
    EXPECT_EQ(config->control.resume, ResumeMode::kAuto);
    EXPECT_EQ(config->safety.priority, 75);
    EXPECT_EQ(config->safety.worker_timeout_ns, 750'500'000);
    EXPECT_FALSE(config->safety.worker_required);
    const SafetyConfig& safety = config->safety;
    ASSERT_EQ(safety.estop_lines.size(), 2u);
    EXPECT_EQ(safety.estop_lines[1].chip, "soc-gpio.1");
    EXPECT_EQ(safety.estop_lines[1].offset, 6u);
    EXPECT_TRUE(safety.estop_stop_is_high);
    EXPECT_EQ(safety.estop_discrepancy_ns, 250'000'000);
    EXPECT_EQ(safety.enable_line->offset, 7u);
    EXPECT_TRUE(safety.enable_pulses);
    EXPECT_EQ(safety.enable_drop_delay_ns, 400'000'000);
    EXPECT_EQ(safety.drive_faults, Reaction::kWarn);
    EXPECT_EQ(safety.core_overruns, Reaction::kOff);
    EXPECT_EQ(safety.temperature, Reaction::kWarn);
    EXPECT_EQ(safety.max_temperature_c, 90.0);
    EXPECT_EQ(safety.temperature_hysteresis_c, 2.5);
    EXPECT_TRUE(safety.temperature_required);
    EXPECT_EQ(safety.memory_pressure, Reaction::kStop);
    EXPECT_EQ(safety.max_memory_pressure_percent, 40.0);
    EXPECT_EQ(safety.watchdog, "/dev/watchdog1");
    EXPECT_EQ(safety.watchdog_timeout_s, 15);
    EXPECT_EQ(safety.evidence_files, 5u);
    const CommandChannel& spindle = config->commands[1];
    EXPECT_EQ(spindle.default_value, 1.5);
    EXPECT_EQ(spindle.position_limits->max, 10.0);
    EXPECT_EQ(config->states.at(*spindle.position_state).name, "spindle.position");
}

TEST(LoadRobotConfig, ListsEveryProblem) {
    const fs::path file = fs::path(testing::TempDir()) / "two_problems.toml";
    std::ofstream(file) << "[robot]\nid = 5\n[control]\ncpu = \"x\"\n";
    const auto config = load_robot_config(file);
    ASSERT_FALSE(config);
    EXPECT_NE(config.error().message.find(":2: robot.id"), std::string::npos) << config.error().message;
    EXPECT_NE(config.error().message.find(":4: control.cpu"), std::string::npos) << config.error().message;
}

TEST(LoadRobotConfig, EnvironmentOverridesSingleValues) {
    const Variable id("HOLDFAST_ROBOT__ID", "arm-77");
    const Variable timeout("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "100");
    const Variable required("HOLDFAST_SAFETY__WORKER_REQUIRED", "false");
    const Variable cpu("HOLDFAST_CONTROL__CPU", "1");
    const Variable url("HOLDFAST_AGENT__FALLBACK__URL", "http://127.0.0.1:1");
    const auto config = load_robot_config(kFiles / "valid/minimal.toml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->id, "arm-77");
    EXPECT_EQ(config->safety.core_timeout_ns, 100'000'000);
    EXPECT_FALSE(config->safety.worker_required);
    EXPECT_EQ(config->control.cpu, 1);
}

TEST(LoadRobotConfig, EnvironmentGivesAListWithCommas) {
    const Variable lines("HOLDFAST_SAFETY__ESTOP_LINES", "bench:1,bench:2");
    const auto config = load_robot_config(kFiles / "valid/minimal.toml");
    ASSERT_TRUE(config) << config.error().message;
    ASSERT_EQ(config->safety.estop_lines.size(), 2u);
    EXPECT_EQ(config->safety.estop_lines[1].offset, 2u);
    const Variable one("HOLDFAST_SAFETY__ESTOP_LINES", "bench:1");
    EXPECT_FALSE(load_robot_config(kFiles / "valid/minimal.toml"));
}

TEST(LoadRobotConfig, RefusesAnOverrideByTheNameOfItsVariable) {
    for (const char* name :
         {"HOLDFAST_CONTROL__CPUS", "HOLDFAST_SAFTEY__PRIORITY", "HOLDFAST_AGENT__FALLBACK"}) {
        const Variable variable(name, "1");
        const auto config = load_robot_config(kFiles / "valid/minimal.toml");
        ASSERT_FALSE(config) << name;
        EXPECT_EQ(config.error().message.find(name), 0u) << config.error().message;
    }
    const Variable wrong("HOLDFAST_CONTROL__TIER1_HZ", "1000x");
    const auto config = load_robot_config(kFiles / "valid/minimal.toml");
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().message.find("HOLDFAST_CONTROL__TIER1_HZ: control.tier1_hz"), 0u)
        << config.error().message;
}

TEST(LoadRobotConfig, NamesAFileThatCannotBeRead) {
    for (const fs::path& file : {fs::path("/nonexistent/robot.toml"), fs::path(testing::TempDir())}) {
        const auto config = load_robot_config(file);
        ASSERT_FALSE(config);
        EXPECT_EQ(config.error().message.find(file.string()), 0u) << config.error().message;
    }
}

TEST(Directories, ComeFromTheEnvironment) {
    EXPECT_EQ(state_directory(), "/var/lib/holdfast");
    const Variable run("HOLDFAST_RUN_DIR", "/tmp/run");
    EXPECT_EQ(run_directory(), "/tmp/run");
}

}  // namespace
}  // namespace holdfast
