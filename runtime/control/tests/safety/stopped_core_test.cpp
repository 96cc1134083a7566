// The real core, moving a drive, is stopped with SIGSTOP: it neither sends nor beats. The drives get the safe
// frames of the daemon, and a core that wakes up again finds the stop standing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <utility>
#include <vector>

#include "frozen_thread.hpp"
#include "notify_socket.hpp"
#include "temporary_directory.hpp"
#include "test_process.hpp"
#include "test_robot_toml.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Turns the spindle (channel 1) at 10 rad/s.
constexpr const char* kTurn = R"((module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (func (export "process") (param i64) (drop (call $set (i32.const 1) (f64.const 10))))))";

constexpr int kJointNode = 1, kSpindleNode = 2, kGripperNode = 3;
constexpr std::ptrdiff_t kFramesThatProveIt = 100;

class StoppedCore : public testing::Test {
  protected:
    // Generous limits: the machine that runs this may be busy, and only silence is what it is about.
    StoppedCore() {
        set("HOLDFAST_RUN_DIR", run_.path());
        set("HOLDFAST_STATE_DIR", state_.path());
        set("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "1000");
        set("HOLDFAST_CONTROL__CONTROLLER_HZ", "1");
        set("HOLDFAST_CONTROL__OVERRUN_LIMIT", "1000");
    }
    ~StoppedCore() override {
        for (const char* name : variables_) ::unsetenv(name);
    }
    void set(const char* name, const std::string& value) {
        ::setenv(name, value.c_str(), 1);
        variables_.push_back(name);
    }

    void SetUp() override {
        std::ofstream(robot_) << std::regex_replace(kTestRobotToml, std::regex("max_accel = 40.0"),
                                                    "max_accel = " + max_accel_);
        std::ofstream(run_.path() / "turn.wat") << kTurn;
        plant_.emplace(command(PLANT_EXECUTABLE, {"--record", recording_.string()}),
                       run_.path() / "plant.log");
        ASSERT_TRUE(eventually([&] { return plant().is_object(); })) << plant_->log();
        start_safety();
        start_core();
        Process verify(command(VERIFY_EXECUTABLE, {"--source", (run_.path() / "turn.wat").string(), "--out",
                                                   (run_.path() / "turn.cwasm").string()}),
                       run_.path() / "verify.log");
        ASSERT_EQ(verify.wait(), 0) << verify.log();
        const json loaded = control({{"op", "load"},
                                     {"cwasm", (run_.path() / "turn.cwasm").string()},
                                     {"name", "turn"},
                                     {"version", ""},
                                     {"sha256", std::string(64, '0')}});
        ASSERT_EQ(loaded["ok"], true) << loaded;
        json armed;
        ASSERT_TRUE(eventually([&] { return (armed = control({{"op", "arm"}}))["ok"] == true; })) << armed;
        ASSERT_TRUE(eventually([&] { return sent_to_spindle() == 10.0 && spindle() > 5.0; }))
            << plant() << core_->log();
    }

    void start_safety() {
        safety_.emplace(command(SAFETY_EXECUTABLE), run_.path() / "safety.log");
        ASSERT_TRUE(eventually([&] { return safety().is_object(); })) << safety_->log();
    }
    void start_core() {
        core_.emplace(command(CONTROL_EXECUTABLE), run_.path() / "core.log");
        ASSERT_TRUE(eventually([&] { return control({{"op", "status"}}).is_object(); })) << core_->log();
    }
    std::vector<std::string> command(const char* executable, std::vector<std::string> more = {}) const {
        std::vector<std::string> all{executable, "--config", robot_.string()};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    json ask_at(const char* socket, const json& body) const {
        return ask(run_.path() / socket, body).value_or(json());
    }
    json plant() const { return ask_at("plant-control.sock", {{"op", "status"}}); }
    json safety() const { return ask_at("safety.sock", {{"op", "status"}}); }
    json control(const json& body) const { return ask_at("control.sock", body); }
    double spindle() const { return plant()["drives"]["spindle"]["velocity"].get<double>(); }

    double sent_to_spindle() const { return plant()["drives"]["spindle"]["input"].get<double>(); }

    struct Recorded {
        std::streamoff read = 0;
        std::vector<json> frames;
    };
    // What one drive was sent, by whom, in order. The recording grows by thousands of lines a second: each is
    // looked at once, and those of the drive are parsed.
    const std::vector<json>& received(int node) {
        Recorded& recorded = recorded_[node];
        std::ifstream in(recording_);
        in.seekg(recorded.read);
        const std::string of_node = "\"node\":" + std::to_string(node) + ",";
        for (std::string line; std::getline(in, line) && !in.eof(); recorded.read += std::ssize(line) + 1) {
            if (line.find(of_node) == std::string::npos) continue;
            json frame = json::parse(line, nullptr, false);
            if (frame.is_object() && frame["node"] == node && frame["value"].is_number())
                recorded.frames.push_back(std::move(frame));
        }
        return recorded.frames;
    }
    std::vector<json> from_safety(int node) {
        std::vector<json> frames = received(node);
        std::erase_if(frames, [](const json& frame) { return frame["from"] != "safety"; });
        return frames;
    }

    std::string max_accel_ = "40.0";  // of the spindle, rad/s^2
    TemporaryDirectory run_, state_;
    std::vector<const char*> variables_;
    fs::path robot_ = run_.path() / "robot.toml";
    fs::path recording_ = run_.path() / "frames.jsonl";
    std::map<int, Recorded> recorded_;
    std::optional<Process> plant_, safety_, core_;
};

TEST_F(StoppedCore, IsReplacedByTheDaemonsSafeFrames) {
    for (const int node : {kJointNode, kSpindleNode, kGripperNode}) EXPECT_TRUE(from_safety(node).empty());
    core_->signal(SIGSTOP);
    ASSERT_TRUE(eventually([&] { return safety()["latched"] == true; }));
    EXPECT_EQ(safety()["cause"], "core_lost");
    ASSERT_TRUE(eventually([&] { return std::abs(spindle()) < 0.05; })) << plant();
    ASSERT_TRUE(eventually([&] {
        const auto frames = from_safety(kSpindleNode);
        return !frames.empty() && frames.back()["value"] == 0.0;
    }));

    const std::vector<json> spindle_frames = received(kSpindleNode);
    const auto first = std::find_if(spindle_frames.begin(), spindle_frames.end(),
                                    [](const json& frame) { return frame["from"] == "safety"; });
    ASSERT_NE(first, spindle_frames.begin());
    const json& last_of_core = *std::prev(first);
    EXPECT_EQ(last_of_core["value"], 10.0);
    double before = 10.0;
    for (auto frame = first; frame != spindle_frames.end(); ++frame) {
        EXPECT_EQ((*frame)["from"], "safety") << "a stopped core sends nothing";
        const double value = (*frame)["value"];
        EXPECT_LE(value, before);
        before = value;
    }
    EXPECT_LT((*first)["value"].get<double>(), 10.0) << "slower in the very first frame";
    for (const json& frame : from_safety(kGripperNode)) EXPECT_EQ(frame["value"], 0.0);
    const std::vector<json> joint_frames = received(kJointNode);
    const double held = joint_frames.front()["value"];
    for (const json& frame : joint_frames) {
        if (frame["from"] == "core") continue;
        EXPECT_NEAR(frame["value"].get<double>(), held, 1e-3);
    }
    const double silence_ms =
        ((*first)["mono_ns"].get<double>() - last_of_core["mono_ns"].get<double>()) * 1e-6;
    EXPECT_GE(silence_ms, 990.0) << "not before the time-out";
    RecordProperty("last_core_frame_to_first_stop_frame_ms", std::to_string(silence_ms));

    core_->signal(SIGCONT);
    ASSERT_TRUE(eventually([&] { return control({{"op", "status"}})["mode"] == "estop"; }));
    ASSERT_TRUE(eventually([&] {
        const std::vector<json>& frames = received(kSpindleNode);
        return std::all_of(frames.end() - kFramesThatProveIt, frames.end(), [](const json& frame) {
            return frame["from"] == "core" && frame["value"] == 0.0;
        });
    })) << "the core obeys again, and the daemon is silent";
    EXPECT_NEAR(spindle(), 0.0, 0.05);
    const std::vector<json>& all = received(kSpindleNode);
    for (std::size_t i = spindle_frames.size(); i < all.size(); ++i)
        EXPECT_LE(std::abs(all[i]["value"].get<double>()), 0.1)
            << "started again what the daemon had stopped";
}

TEST_F(StoppedCore, ThatCannotWriteItsStopStaysStoppedWhenTheDaemonIsKilled) {
    const fs::path obstacle = state_.path() / "safety" / "estop.json.tmp";
    fs::create_directories(obstacle);
    EXPECT_EQ(ask_at("safety.sock", {{"op", "estop"}})["ok"], false) << "it is not durable";
    ASSERT_TRUE(eventually([&] { return control({{"op", "status"}})["mode"] == "estop"; }));
    safety_->kill();
    start_safety();
    ASSERT_TRUE(eventually([&] { return safety()["core"]["attached"] == true; })) << core_->log();
    EXPECT_EQ(safety()["latched"], true);
    EXPECT_EQ(safety()["cause"], "state_record_unreadable");
    EXPECT_EQ(safety()["latch_sequence"], 2) << "no number is used twice";
    EXPECT_EQ(control({{"op", "status"}})["mode"], "estop");
    fs::remove(obstacle);
    EXPECT_TRUE(eventually([&] { return ask_at("safety.sock", {{"op", "reset"}})["ok"] == true; }));
}

// Hazard: while the daemon is away, a process of the robot's group listens in its place.
TEST_F(StoppedCore, AttachesToNobodyElse) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root starts a process as somebody else";
    safety_->kill();
    for (const fs::path& folder : {run_.path(), state_.path()}) fs::permissions(folder, fs::perms::all);
    fs::remove_all(state_.path() / "safety");
    fs::remove(run_.path() / "evidence.ring");
    fs::permissions(run_.path() / "plant.sock", fs::perms::all);
    std::vector<std::string> strange = command(SAFETY_EXECUTABLE);
    strange.insert(strange.begin(), {"/usr/bin/setpriv", "--reuid=12345", "--clear-groups"});
    safety_.emplace(std::move(strange), run_.path() / "safety.log");
    ASSERT_TRUE(eventually([&] { return safety().is_object(); })) << safety_->log();
    ASSERT_TRUE(eventually([&] { return core_->log().find("(uid 12345)") != std::string::npos; }))
        << core_->log();
    EXPECT_EQ(safety()["core"]["attached"], false);
}

// Hazard: the loop hangs, and the thread that serves the sockets goes on telling that all is well.
TEST_F(StoppedCore, FeedsNoWatchdogWhileItsLoopStandsStill) {
    core_->kill();
    NotifySocket systemd(run_.path());
    start_core();
    EXPECT_TRUE(systemd.hears("WATCHDOG=1"));
    {
        const auto loop = FrozenThread::most_urgent_of(core_->pid());
        if (!loop) GTEST_SKIP() << "no real-time thread is to be had here";
        EXPECT_FALSE(systemd.hears_in(60, core_->pid(), "WATCHDOG=1"));
    }
    EXPECT_TRUE(systemd.hears("WATCHDOG=1"));
}

TEST_F(StoppedCore, WithoutRealTimeArmsOnlyWhereItIsNotRequired) {
    const json shortfalls = control({{"op", "status"}})["realtime"]["shortfalls"];
    if (shortfalls.empty()) GTEST_SKIP() << "this machine has all that real time needs";
    core_->kill();
    set("HOLDFAST_CONTROL__REALTIME", "require");
    start_core();
    const json status = control({{"op", "status"}});
    for (const json& shortfall : status["realtime"]["shortfalls"]) {
        const json& blockers = status["arm_blockers"];
        EXPECT_NE(std::find(blockers.begin(), blockers.end(), shortfall), blockers.end()) << status;
    }
    EXPECT_EQ(control({{"op", "arm"}})["ok"], false);
}

// Slow enough to be met on its way.
class RestartedCore : public StoppedCore {
  protected:
    RestartedCore() { max_accel_ = "2.0"; }
};

TEST_F(RestartedCore, GoesOnWithTheStopFromTheSpeedThatItMeets) {
    core_->kill();
    ASSERT_TRUE(eventually([&] { return safety()["latched"] == true; }));
    start_core();
    const auto of_core = [&] {
        const std::vector<json>& frames = received(kSpindleNode);
        const auto stop = std::find_if(frames.begin(), frames.end(),
                                       [](const json& frame) { return frame["from"] == "safety"; });
        return std::find_if(stop, frames.end(), [](const json& frame) { return frame["from"] == "core"; });
    };
    ASSERT_TRUE(eventually([&] { return of_core() != received(kSpindleNode).end(); })) << core_->log();
    const double first = (*of_core())["value"], met = (*std::prev(of_core()))["value"];
    EXPECT_GT(met, 2.0) << "five seconds were not enough to start the core";
    EXPECT_GT(first, met / 2.0) << "stopped at once what the daemon slows down";
    EXPECT_LT(first, 10.0);
    EXPECT_TRUE(eventually([&] { return std::abs(spindle()) < 0.05; })) << plant();
}

TEST_F(StoppedCore, LeavesEvidence) {
    core_->signal(SIGSTOP);
    const fs::path file = state_.path() / "safety" / "evidence" / "stop-0000000001.evidence";
    ASSERT_TRUE(eventually([&] { return fs::exists(file); })) << safety_->log();
    std::ifstream in(file, std::ios::binary);
    std::string line;
    std::getline(in, line);
    const json header = json::parse(line);
    EXPECT_EQ(header["cause"], "core_lost");
    EXPECT_GT(header["entries"], 1000);
    EXPECT_TRUE(eventually([&] { return safety()["evidence"]["saved"] == 1; })) << safety();
}

}  // namespace
}  // namespace holdfast::safety
