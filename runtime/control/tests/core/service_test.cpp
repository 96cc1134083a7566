#include "core/safety_attachment.hpp"
#include "service_rig.hpp"

namespace holdfast::core {
namespace {

constexpr const char* kTraps = R"((module (func (export "process") (param i64) unreachable)))";
constexpr const char* kMetric = R"((module
  (import "telemetry" "emit_metric" (func $emit (param f64)))
  (func (export "process") (param i64) (call $emit (f64.const 4.25)))))";

TEST_F(ServiceTest, RefusesUnknownOperationsAndKeys) {
    for (const json& bad :
         {json{{"op", "jump"}}, json{{"op", 5}}, json::object(), json{{"op", "arm"}, {"force", true}},
          json{{"op", "load"}, {"cwasm", 1}}, json{{"op", "sim"}, {"speed", -1.0}},
          json{{"op", "sim"}, {"speed", "fast"}}, json{{"op", "sim"}, {"paused", 1}}}) {
        const json reply = ask(bad);
        EXPECT_EQ(reply["ok"], false) << bad;
        EXPECT_FALSE(reply["error"].get<std::string>().empty());
    }
}

TEST_F(ServiceTest, ArmAndSimAreForPrivilegedPeersOnly) {
    load(kStill);
    for (const char* op : {"arm", "sim", "resume", "clear"})
        EXPECT_EQ(ask({{"op", op}}, kStranger)["ok"], false) << op;
    EXPECT_EQ(ask({{"op", "status"}}, kStranger)["mode"], "disarmed");
    EXPECT_EQ(ask({{"op", "disarm"}}, kStranger)["ok"], true);
}

TEST_F(ServiceTest, StatusDescribesTheRobot) {
    const json status = await([](const json& s) { return s["cycle"] > 50; });
    EXPECT_EQ(status["robot_id"], "mini-01");
    EXPECT_EQ(status["controller"], nullptr);
    EXPECT_EQ(status["realtime"]["shortfalls"], json::array({"no real-time kernel"}));
    EXPECT_EQ(status["channels"]["commands"], json::array({"joint", "spindle", "gripper"}));
    EXPECT_EQ(status["counters"].size(), static_cast<std::size_t>(shm::Counter::kCount));
    ASSERT_EQ(status["arm_blockers"].size(), 1u);
    EXPECT_NE(status["arm_blockers"][0].get<std::string>().find("no controller"), std::string::npos);
}

TEST_F(ServiceTest, ArmSaysEveryReason) {
    stop();
    rig.drives[kJoint].axis_error = 0x40;
    start(ResumeMode::kManual);
    await([](const json& s) { return s["arm_blockers"].size() == 2; });
    const json reply = ask({{"op", "arm"}});
    EXPECT_EQ(reply["ok"], false);
    const auto error = reply["error"].get<std::string>();
    EXPECT_NE(error.find("no controller"), std::string::npos) << error;
    EXPECT_NE(error.find("drive joint reports missing input (0x40)"), std::string::npos) << error;
}

TEST_F(ServiceTest, LoadsArmsAndDisarms) {
    EXPECT_EQ(load(kStill)["generation"], 1);
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], true);
    await([](const json& s) { return s["controller"]["state"] == "running" && s["controller"]["tick"] > 3; });
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], true) << "is armed already";
    EXPECT_EQ(ask({{"op", "status"}})["stopped"], "");
    EXPECT_EQ(ask({{"op", "disarm"}})["ok"], true);
    EXPECT_EQ(await(mode_is("disarmed"))["stopped"], "asked for");
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], true);
    EXPECT_EQ(await(mode_is("running"))["stopped"], "") << "that was before it was armed";
}

TEST_F(ServiceTest, AFailedLoadLeavesTheRunningControllerRunning) {
    load(kStill, "good");
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    const auto junk = rig.run_directory.path() / "junk.cwasm";
    std::ofstream(junk) << "junk";
    for (const std::string& file :
         {junk.string(), std::string("/nonexistent.cwasm"), std::string("relative.cwasm")}) {
        const json reply =
            ask({{"op", "load"}, {"cwasm", file}, {"name", "bad"}, {"version", "2"}, {"sha256", "11"}});
        EXPECT_EQ(reply["ok"], false) << file;
    }
    const json status = await([](const json& s) { return s["controller"]["tick"] > 5; });
    EXPECT_EQ(status["controller"]["name"], "good");
    EXPECT_EQ(status["controller"]["generation"], 1);
    EXPECT_EQ(status["mode"], "running");
}

TEST_F(ServiceTest, AFaultStandsUntilTheNextLoad) {
    load(kTraps);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    json status =
        await([](const json& s) { return s["controller"]["state"] == "faulted" && s["mode"] == "disarmed"; });
    EXPECT_EQ(status["stopped"], "the controller failed");
    EXPECT_EQ(status["controller"]["fault"], "trap");
    EXPECT_NE(status["controller"]["message"].get<std::string>().find("unreachable"), std::string::npos)
        << status;
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], false);
    load(kStill, "mended");
    status = await([](const json& s) { return s["controller"]["state"] == "loaded"; });
    EXPECT_EQ(status["controller"]["fault"], "none");
    EXPECT_EQ(status["controller"]["message"], "");
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], true);
}

TEST_F(ServiceTest, UnloadStopsAndLeavesNoController) {
    load(kStill);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    EXPECT_EQ(ask({{"op", "unload"}})["ok"], true);
    EXPECT_EQ(await(mode_is("disarmed"))["controller"], nullptr);
}

TEST_F(ServiceTest, ShowsTheMetricsOfTheController) {
    load(kMetric);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    const json status = await([](const json& s) { return s["controller"]["metrics"].size() == 64; });
    EXPECT_EQ(status["controller"]["metrics"][0], 4.25);
}

TEST_F(ServiceTest, PausesForEverybodyAndResumesForPrivilegedPeersOnly) {
    load(kStill);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    await(mode_is("running"));
    EXPECT_EQ(ask({{"op", "pause"}}, kStranger)["ok"], true);
    const json paused = await(mode_is("paused"));
    EXPECT_EQ(paused["controller"]["state"], "loaded");
    EXPECT_NE(paused["arm_blockers"].dump().find("the robot is paused"), std::string::npos) << paused;
    EXPECT_EQ(ask({{"op", "resume"}}, kStranger)["ok"], false);
    EXPECT_EQ(ask({{"op", "arm"}})["ok"], false) << "arm resumed it";
    EXPECT_EQ(ask({{"op", "status"}})["mode"], "paused");
    EXPECT_EQ(ask({{"op", "resume"}})["ok"], true);
    await(mode_is("running"));
}

TEST_F(ServiceTest, RefusesWhatTheStateDoesNotAllowInASentence) {
    load(kStill);
    const json reply = ask({{"op", "pause"}});
    EXPECT_EQ(reply["ok"], false);
    EXPECT_EQ(reply["error"], "pause: not possible while the robot is disarmed; arm it first");
    EXPECT_EQ(ask({{"op", "clear"}})["error"],
              "clear_fault: not possible while the robot is disarmed; arm it first");
    await([](const json& s) { return s["counters"]["transitions_refused"] == 2; });
}

TEST_F(ServiceTest, DoesNotArmAPausedRobotByItselfAfterAPowerCut) {
    start(ResumeMode::kAuto);
    load(kStill);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    await(mode_is("running"));
    const auto note = rig.run_directory.path() / "state" / "armed";
    ASSERT_TRUE(std::filesystem::exists(note));
    ASSERT_EQ(ask({{"op", "pause"}})["ok"], true);
    await(mode_is("paused"));
    EXPECT_FALSE(std::filesystem::exists(note));
}

TEST_F(ServiceTest, HandsOutTheStateSegment) {
    auto reply = service->handle(kStranger, {{{"op", "segment"}}, {}});
    ASSERT_EQ(reply.descriptors.size(), 1u);
    const auto reader = shm::Reader<shm::StateSegment>::map(std::move(reply.descriptors[0]));
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ(reader->segment().header.magic, shm::kStateMagic);
}

TEST_F(ServiceTest, SimulationTimeCanBePaused) {
    await([](const json& s) { return s["cycle"] > 50; });
    ASSERT_EQ(ask({{"op", "sim"}, {"paused", true}})["ok"], true);
    const auto cycle = ask({{"op", "status"}})["cycle"].get<std::uint64_t>();
    await([&](const json& s) { return s["cycle"] > cycle + 50; });
    const json before = ask({{"op", "sim"}, {"speed", 2.0}});
    await([&](const json& s) { return s["cycle"] > cycle + 200; });
    EXPECT_EQ(ask({{"op", "sim"}})["sim_time_ns"], before["sim_time_ns"]);
}

TEST_F(ServiceTest, ResumesByItselfOnlyAfterAnInterruptionWhileArmed) {
    start(ResumeMode::kAuto);
    load(kStill);
    service->keep_house();
    EXPECT_EQ(ask({{"op", "status"}})["mode"], "disarmed") << "armed without having been armed before";
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    await(mode_is("running"));
    // A power cut: the note stays, the robot starts disarmed.
    ASSERT_TRUE(std::filesystem::exists(rig.run_directory.path() / "state" / "armed"));
    std::filesystem::copy(rig.run_directory.path() / "state" / "armed", rig.run_directory.path() / "note");
    ask({{"op", "disarm"}});
    await(mode_is("disarmed"));
    EXPECT_FALSE(std::filesystem::exists(rig.run_directory.path() / "state" / "armed"));
    std::filesystem::copy(rig.run_directory.path() / "note", rig.run_directory.path() / "state" / "armed");
    start(ResumeMode::kAuto);
    load(kStill);
    await(mode_is("running"));
}

// Whoever disarms, unloads or loads another controller has taken charge: nothing moves by itself after that.
TEST_F(ServiceTest, APersonsWishEndsTheRightToResume) {
    const auto note = rig.run_directory.path() / "state" / "armed";
    const auto interrupted = [&] {
        std::filesystem::create_directories(note.parent_path());
        std::ofstream(note) << "armed";
        start(ResumeMode::kAuto);
    };
    const auto stays_disarmed = [&] {
        for (int i = 0; i < 20; ++i) service->keep_house();
        const auto cycle = ask({{"op", "status"}})["cycle"].get<std::uint64_t>();
        await([=](const json& s) { return s["cycle"] > cycle + 200; });
        EXPECT_EQ(ask({{"op", "status"}})["mode"], "disarmed");
    };
    interrupted();
    ask({{"op", "disarm"}});
    load(kStill);
    stays_disarmed();
    interrupted();
    ask({{"op", "unload"}});
    load(kStill);
    stays_disarmed();
}

// What was told to be refused does not happen later.
TEST_F(ServiceTest, ARequestThatTheLoopDidNotTakeIsTakenBack) {
    load(kStill);
    stop();
    const json refused = ask({{"op", "arm"}});
    EXPECT_EQ(refused["ok"], false);
    EXPECT_NE(refused["error"].get<std::string>().find("does not answer"), std::string::npos);
    EXPECT_EQ(rig.exchange.requests.load(), 0u);
}

TEST_F(ServiceTest, DoesNotResumeAfterALatchedStop) {
    std::filesystem::create_directories(rig.run_directory.path() / "state");
    std::ofstream(rig.run_directory.path() / "state" / "armed");
    stop();
    rig.latch(3);
    rig.cycles(3);
    start(ResumeMode::kAuto);
    load(kStill);
    await(mode_is("estop"));
    stop();
    rig.latch(0);
    rig.cycles(3);
    for (int i = 0; i < 5; ++i) service->keep_house();
    rig.cycles(10);
    EXPECT_EQ(rig.mode(), shm::Mode::kDisarmed);
}

TEST(SafetyAttachment, AttachesAgainWhenTheDaemonWasRestarted) {
    const TemporaryDirectory directory;
    const auto socket = directory.path() / "safety.sock";
    Exchange exchange;
    const auto state = std::move(*shm::Writer<shm::StateSegment>::create());
    auto safety = std::move(*shm::Writer<shm::SafetySegment>::create());
    SafetyAttachment attachment(socket, state.fd(), exchange);
    attachment.maintain();
    EXPECT_EQ(exchange.safety.load(), nullptr);
    for (std::uint64_t life = 1; life <= 2; ++life) {
        std::atomic<bool> serving{true};
        std::atomic<bool> attached{false};
        std::atomic<bool> detached{false};
        auto server = std::move(*ipc::Server::listen(
            socket,
            [&](const ipc::Peer&, const ipc::Message& request) {
                ipc::Message reply{{{"ok", true}}, {}};
                if (request.body["op"] == "attach") {
                    attached = request.body["role"] == "core" && request.descriptors.size() == 1;
                    reply.descriptors.emplace_back(dup(safety.fd()));
                }
                detached = detached || request.body["op"] == "detach";
                return reply;
            },
            {}));
        std::thread thread([&] {
            while (serving) server->serve(5);
        });
        const auto* before = exchange.safety.load();
        while (exchange.safety.load() == before) attachment.maintain();
        EXPECT_TRUE(attached);
        safety.segment().stop.store(life);
        EXPECT_EQ(exchange.safety.load()->segment().stop.load(), life);
        if (life == 2) attachment.detach();
        EXPECT_EQ(detached, life == 2);
        serving = false;
        thread.join();
    }
}

constexpr const char* kTellsInput = R"((module
  (import "state" "get" (func $get (param i32) (result f64)))
  (import "telemetry" "emit_metric" (func $emit (param f64)))
  (func (export "process") (param i64) (call $emit (call $get (i32.const 2))))))";

// From the socket to state.get: an input is the value after the two states.
TEST_F(ServiceTest, InputReachesTheController) {
    stop();
    rig.config.inputs = {
        {.name = "forward", .unit = "m/s", .limits = {-1.0, 1.0}, .max_age_ns = 3'600'000'000'000}};
    start(ResumeMode::kManual);
    ASSERT_EQ(load(kTellsInput)["ok"], true);
    // The loop's clock is the rig's and stands far behind this machine's: to the controller no input is too
    // old.
    const json request{{"op", "input"}, {"values", {{"forward", 0.75}}}, {"mono_ns", monotonic_ns()}};
    ASSERT_EQ(ask(request, kStranger)["ok"], true);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    const json status = await([](const json& s) {
        const auto& metrics = s["controller"]["metrics"];
        return !metrics.empty() && metrics.back() == 0.75;
    });
    EXPECT_EQ(status["inputs"]["forward"]["value"], 0.75);
    EXPECT_EQ(ask({{"op", "input"}, {"values", {{"forward", 2.0}}}, {"mono_ns", monotonic_ns()}})["ok"],
              false);
}

}  // namespace
}  // namespace holdfast::core
