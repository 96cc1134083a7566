// The real executable, asked over its sockets.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "drive/cansimple.hpp"
#include "link/link.hpp"
#include "rt/clock.hpp"
#include "temporary_directory.hpp"
#include "test_process.hpp"
#include "test_robot_toml.hpp"

namespace holdfast::plant {
namespace {

class PlantProcess : public testing::Test {
  protected:
    void SetUp() override {
        ::setenv("HOLDFAST_RUN_DIR", directory_.path().c_str(), 1);
        std::ofstream(robot_file_) << kTestRobotToml;
    }
    void start(std::vector<std::string> options = {}) {
        std::vector<std::string> arguments{PLANT_EXECUTABLE, "--config", robot_file_.string()};
        arguments.insert(arguments.end(), options.begin(), options.end());
        plant_.emplace(std::move(arguments), directory_.path() / "plant.log");
    }
    nlohmann::json drive(const std::string& name) {
        return ask(control_, {{"op", "status"}}).value()["drives"][name];
    }
    bool ready() {
        return eventually([&] { return ask(control_, {{"op", "status"}}).has_value(); });
    }

    TemporaryDirectory directory_;
    std::filesystem::path robot_file_ = directory_.path() / "robot.toml";
    std::filesystem::path control_ = directory_.path() / "plant-control.sock";
    std::optional<Process> plant_;
};

TEST_F(PlantProcess, MovesAJointThroughItsLinkAndReports) {
    start();
    ASSERT_TRUE(ready()) << plant_->log();
    const RobotConfig robot = load_robot_config(robot_file_).value();
    auto link = std::move(open_link("unix:plant.sock", "core", directory_.path()).value());
    std::array<CanFrame, cansimple::kMaxEnableFrames> frames;
    cansimple::enable_frames(robot.drives[0], ChannelKind::kPosition, frames);
    for (const CanFrame& frame : frames) {
        ASSERT_TRUE(eventually([&] { return link->send(frame) == LinkResult::kOk; }));
    }
    const auto target = cansimple::command_frame(robot.drives[0], ChannelKind::kPosition, 0.5);
    ASSERT_TRUE(eventually([&] { return link->send(target) == LinkResult::kOk; }));
    std::optional<double> position;
    std::set<int> states;
    EXPECT_TRUE(eventually([&] {
        CanFrame frame;
        while (link->receive(frame) == LinkResult::kOk) {
            const auto sample = cansimple::decode(robot.drives[0], frame);
            if (sample && sample->position) position = sample->position;
            if (sample && sample->axis_state) states.insert(*sample->axis_state);
        }
        return position && std::abs(*position - 0.5) < 1e-3 && states.contains(8);
    }));
    const auto joint = drive("joint");
    EXPECT_EQ(joint["axis_state"], "closed_loop");
    EXPECT_EQ(joint["mode"], "position");
    EXPECT_NEAR(joint["input"].get<double>(), 0.5, 1e-6);
    EXPECT_EQ(joint["frames"], 4);
    EXPECT_GT(joint["last_frame_mono_ns"].get<std::int64_t>(), 0);
    EXPECT_EQ(plant_->terminate(), 0);
    EXPECT_FALSE(std::filesystem::exists(directory_.path() / "plant.sock"));
}

TEST_F(PlantProcess, RecordsEachFrameWithItsSender) {
    const auto record = directory_.path() / "frames.jsonl";
    start({"--record", record.string(), "--seed", "1"});
    ASSERT_TRUE(ready()) << plant_->log();
    const RobotConfig robot = load_robot_config(robot_file_).value();
    const auto link = std::move(open_link("unix:plant.sock", "safety", directory_.path()).value());
    const auto frame = cansimple::command_frame(robot.drives[1], ChannelKind::kVelocity, 1.5);
    ASSERT_EQ(link->send(frame), LinkResult::kOk);
    ASSERT_TRUE(eventually([&] { return drive("spindle")["frames"] == 1; }));
    EXPECT_EQ(plant_->terminate(), 0);
    std::ifstream stream(record);
    std::string line;
    ASSERT_TRUE(std::getline(stream, line));
    const auto recorded = nlohmann::json::parse(line);
    EXPECT_EQ(recorded["node"], 2);
    EXPECT_EQ(recorded["cmd"], 0x0D);
    EXPECT_NEAR(recorded["value"].get<double>(), 1.5, 1e-6);
    EXPECT_EQ(recorded["from"], "safety");
    EXPECT_GT(recorded["mono_ns"].get<std::int64_t>(), 0);
    EXPECT_FALSE(std::getline(stream, line));
}

TEST_F(PlantProcess, TellsWhenFramesArrived) {
    start();
    ASSERT_TRUE(ready()) << plant_->log();
    const RobotConfig robot = load_robot_config(robot_file_).value();
    const auto link = std::move(open_link("unix:plant.sock", "safety", directory_.path()).value());
    const std::int64_t before_ns = monotonic_ns();
    for (const double velocity : {1.5, 1.25}) {
        const auto frame = cansimple::command_frame(robot.drives[1], ChannelKind::kVelocity, velocity);
        ASSERT_EQ(link->send(frame), LinkResult::kOk);
    }
    ASSERT_TRUE(eventually([&] { return drive("spindle")["frames"] == 2; }));
    const std::int64_t after_ns = monotonic_ns();
    const auto frames_between = [&](std::int64_t since_ns, std::int64_t until_ns) {
        return ask(control_, {{"op", "frames"}, {"since_ns", since_ns}, {"until_ns", until_ns}}).value();
    };
    const auto told = frames_between(before_ns, after_ns);
    ASSERT_EQ(told["complete"], true);
    ASSERT_EQ(told["frames"].size(), 2u);
    EXPECT_EQ(told["frames"][0][1], "spindle");
    EXPECT_EQ(told["frames"][0][2], 0x0D);
    EXPECT_NEAR(told["frames"][0][3].get<double>(), 1.5, 1e-6);
    EXPECT_NEAR(told["frames"][1][3].get<double>(), 1.25, 1e-6);
    EXPECT_GE(told["frames"][0][0].get<std::int64_t>(), before_ns);
    EXPECT_LE(told["frames"][1][0].get<std::int64_t>(), after_ns);
    EXPECT_EQ(frames_between(after_ns, after_ns + 1)["frames"].size(), 0u);
}

TEST_F(PlantProcess, WatchesTheEnableLine) {
    const auto line = directory_.path() / "value";
    // In place, as sysfs does: never empty in between.
    const auto set_level = [&](const char* level) {
        std::fstream(line, std::ios::in | std::ios::out) << level;
    };
    std::ofstream(line) << "0\n";
    start({"--enable-line", line.string()});
    ASSERT_TRUE(ready()) << plant_->log();
    const auto enable = [&] { return ask(control_, {{"op", "status"}}).value()["enable"]; };
    EXPECT_EQ(enable()["level"], false);
    const std::int64_t before_ns = monotonic_ns();
    set_level("1");
    ASSERT_TRUE(eventually([&] { return enable()["level"] == true; }));
    const auto raised_ns = enable()["changed_mono_ns"].get<std::int64_t>();
    EXPECT_GE(raised_ns, before_ns);
    set_level("0");
    ASSERT_TRUE(eventually([&] { return enable()["level"] == false; }));
    EXPECT_GT(enable()["changed_mono_ns"].get<std::int64_t>(), raised_ns);
}

TEST_F(PlantProcess, RefusesUnknownRequests) {
    start();
    ASSERT_TRUE(ready()) << plant_->log();
    for (const nlohmann::json& request :
         {nlohmann::json{{"op", "fly"}}, nlohmann::json{{"op", "status"}, {"x", 1}}}) {
        EXPECT_EQ(ask(control_, request).value()["ok"], false);
    }
}

TEST_F(PlantProcess, WrongConfigurationIsSaid) {
    std::ofstream(robot_file_) << "[robot]\nid = 1\n";
    start();
    EXPECT_EQ(plant_->wait(), 2);
    EXPECT_NE(plant_->log().find("robot.toml"), std::string::npos);
}

TEST_F(PlantProcess, RecordThatCannotBeWrittenIsSaid) {
    start({"--record", (directory_.path() / "missing" / "frames.jsonl").string()});
    EXPECT_EQ(plant_->wait(), 1);
    EXPECT_NE(plant_->log().find("frames.jsonl: the record cannot be written"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::plant
