// control.sock with the real loop, the real sandbox and a robot behind a real link; only the threads are the
// test's.
#include "core/service.hpp"

#include <fstream>
#include <thread>

#include "core/controller_runner.hpp"
#include "core/safety_attachment.hpp"
#include "robot_rig.hpp"

namespace holdfast::core {
namespace {

using nlohmann::json;

const ipc::Peer kRoot{.connection = 1, .pid = 1, .uid = 0};
const ipc::Peer kStranger{.connection = 2, .pid = 1, .uid = geteuid() + 12345};

constexpr const char* kStill = R"((module (func (export "process") (param i64))))";
constexpr const char* kTraps = R"((module (func (export "process") (param i64) unreachable)))";
constexpr const char* kMetric = R"((module
  (import "telemetry" "emit_metric" (func $emit (param f64)))
  (func (export "process") (param i64) (call $emit (f64.const 4.25)))))";

class ServiceTest : public testing::Test {
  protected:
    ServiceTest() {
        rig.tier1 = std::make_unique<Tier1>(
            rig.config, std::move(*DriveBus::open(rig.config, rig.run_directory.path())), rig.segment,
            rig.exchange, *engine, 7, RealtimeGrade{}, [] { return rig_clock(); });
        rig.controller_runs = false;
        start(ResumeMode::kManual);
    }
    ~ServiceTest() override { stop(); }

    void start(ResumeMode resume) {
        stop();
        rig.exchange.controller = nullptr;  // a new process
        rig.exchange.in_use = nullptr;
        rig.config.control.resume = resume;
        service = std::move(*Service::create(rig.config, rig.exchange, engine, rig.segment.fd(),
                                             {"no real-time kernel"},
                                             ResumeMarker(rig.run_directory.path() / "state" / "armed")));
        running = true;
        loop = std::thread([this] {
            ControllerRunner runner(rig.config, rig.exchange, rig.segment.segment().controller,
                                    [] { return rig_clock(); });
            while (running) {
                for (int i = 0; i < 10; ++i) rig.cycle();
                runner.tick(rig_clock());
                std::this_thread::yield();
            }
        });
    }
    void stop() {
        running = false;
        if (loop.joinable()) loop.join();
    }
    json ask(const json& request, const ipc::Peer& peer = kRoot) {
        return service->handle(peer, {request, {}}).body;
    }
    json load(const char* source, const std::string& name = "test") {
        const auto file = rig.run_directory.path() / (name + ".cwasm");
        const auto compiled = wasm::compile(*engine, source);
        EXPECT_TRUE(compiled) << compiled.error().message;
        std::ofstream(file, std::ios::binary) << *compiled;
        return ask(
            {{"op", "load"}, {"cwasm", file.string()}, {"name", name}, {"version", "1"}, {"sha256", "00"}});
    }
    // Polls the status until `done` accepts it.
    template <typename Done>
    json await(Done done) {
        json status;
        EXPECT_TRUE(poll([&] {
            status = ask({{"op", "status"}});
            return done(status);
        })) << status.dump(1);
        return status;
    }
    template <typename Condition>
    static bool poll(Condition condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            std::this_thread::yield();
        }
        return true;
    }
    static auto mode_is(const char* mode) {
        return [mode](const json& status) { return status["mode"] == mode; };
    }

    RobotRig rig;
    std::shared_ptr<wasm::Engine> engine = std::move(*wasm::Engine::create());
    std::unique_ptr<Service> service;
    std::atomic<bool> running{false};
    std::thread loop;
};

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
    for (const char* op : {"arm", "sim"}) EXPECT_EQ(ask({{"op", op}}, kStranger)["ok"], false) << op;
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
    rig.drives[kJoint].axis_error = 0x40;
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
    EXPECT_EQ(ask({{"op", "disarm"}})["ok"], true);
    await(mode_is("disarmed"));
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
    EXPECT_EQ(status["mode"], "armed");
}

TEST_F(ServiceTest, AFaultStandsUntilTheNextLoad) {
    load(kTraps);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    json status =
        await([](const json& s) { return s["controller"]["state"] == "faulted" && s["mode"] == "disarmed"; });
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
    await(mode_is("armed"));
    // A power cut: the note stays, the robot starts disarmed.
    ASSERT_TRUE(std::filesystem::exists(rig.run_directory.path() / "state" / "armed"));
    std::filesystem::copy(rig.run_directory.path() / "state" / "armed", rig.run_directory.path() / "note");
    ask({{"op", "disarm"}});
    await(mode_is("disarmed"));
    EXPECT_FALSE(std::filesystem::exists(rig.run_directory.path() / "state" / "armed"));
    std::filesystem::copy(rig.run_directory.path() / "note", rig.run_directory.path() / "state" / "armed");
    start(ResumeMode::kAuto);
    load(kStill);
    await(mode_is("armed"));
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

}  // namespace
}  // namespace holdfast::core
