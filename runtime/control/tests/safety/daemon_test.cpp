// The real executables: daemon, drives and a core that can be killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>

#include "frozen_thread.hpp"
#include "link/link.hpp"
#include "notify_socket.hpp"
#include "shm/segment.hpp"
#include "temporary_directory.hpp"
#include "test_process.hpp"
#include "test_robot_toml.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class DaemonTest : public testing::Test {
  protected:
    void SetUp() override {
        ::setenv("HOLDFAST_RUN_DIR", run_.path().c_str(), 1);
        ::setenv("HOLDFAST_STATE_DIR", state_.path().c_str(), 1);
        std::ofstream(robot_file_) << kTestRobotToml;
        plant_.emplace(std::vector<std::string>{PLANT_EXECUTABLE, "--config", robot_file_.string()},
                       run_.path() / "plant.log");
        ASSERT_TRUE(eventually([&] {
            return ask(run_.path() / "plant-control.sock", {{"op", "status"}}).has_value();
        })) << plant_->log();
    }
    void TearDown() override {
        for (const char* name : variables_) ::unsetenv(name);
        ::unsetenv("HOLDFAST_SAFETY__WORKER_REQUIRED");
    }

    void set(const char* name, const char* value) {
        ::setenv(name, value, 1);
        variables_.push_back(name);
    }

    void launch() {
        safety_.emplace(std::vector<std::string>{SAFETY_EXECUTABLE, "--config", robot_file_.string()},
                        run_.path() / "safety.log");
    }
    void start() {
        launch();
        ASSERT_TRUE(eventually([&] { return ask(socket_, {{"op", "status"}}).has_value(); }))
            << safety_->log();
    }
    void start_core(const std::string& mode = "disarmed") {
        core_.emplace(std::vector<std::string>{FAKE_CORE_EXECUTABLE, socket_.string(), mode},
                      run_.path() / "core.log");
        ASSERT_TRUE(eventually([&] {
            return status()["core"]["age_ms"].is_number() && status()["arm_permitted"] == !latched();
        })) << core_->log()
            << status();
    }
    json request(const json& body) { return ask(socket_, body).value_or(json{{"ok", "nobody answered"}}); }
    json status() { return request({{"op", "status"}}); }
    bool latched() { return status()["latched"].get<bool>(); }
    json drive(const std::string& name) {
        return ask(run_.path() / "plant-control.sock", {{"op", "status"}}).value()["drives"][name];
    }
    std::uint64_t frames() { return drive("spindle")["frames"].get<std::uint64_t>(); }
    std::unique_ptr<ipc::Client> connect() { return std::move(ipc::Client::connect(socket_).value()); }

    std::vector<const char*> variables_;
    TemporaryDirectory run_;
    TemporaryDirectory state_;
    fs::path robot_file_ = run_.path() / "robot.toml";
    fs::path socket_ = run_.path() / "safety.sock";
    fs::path record_ = state_.path() / "safety" / "estop.json";
    std::optional<Process> plant_;
    std::optional<Process> safety_;
    std::optional<Process> core_;
};

TEST_F(DaemonTest, KilledCoreLatchesAndTheDrivesGetStopFrames) {
    start();
    start_core("armed");
    EXPECT_EQ(frames(), 0u);
    core_->kill();
    ASSERT_TRUE(eventually([&] { return latched(); }));
    const json stopped = status();
    EXPECT_EQ(stopped["cause"], "core_lost");
    EXPECT_EQ(stopped["standing"], "core_lost");
    EXPECT_EQ(stopped["latch_sequence"], 1);
    EXPECT_EQ(stopped["arm_permitted"], false);
    EXPECT_TRUE(eventually([&] { return frames() > 10; }));
    EXPECT_TRUE(eventually([&] { return std::abs(drive("spindle")["input"].get<double>()) < 1e-9; }));

    const json refused = request({{"op", "reset"}});
    EXPECT_EQ(refused["ok"], false);
    EXPECT_NE(refused["error"].get<std::string>().find("core_lost stands"), std::string::npos) << refused;
    EXPECT_NE(refused["error"].get<std::string>().find("start holdfast-control"), std::string::npos)
        << refused;

    core_.emplace(std::vector<std::string>{FAKE_CORE_EXECUTABLE, socket_.string()}, run_.path() / "core.log");
    ASSERT_TRUE(eventually([&] { return status()["standing"] == "none"; })) << core_->log();
    EXPECT_TRUE(latched());
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
    EXPECT_TRUE(eventually([&] { return status()["arm_permitted"] == true; })) << status();
}

TEST_F(DaemonTest, StopSurvivesKillAndRestart) {
    start();
    const json reply = request({{"op", "estop"}, {"reason", "smoke"}});
    EXPECT_EQ(reply, (json{{"ok", true}, {"latch_sequence", 1}}));
    const std::string since = status()["since"];
    safety_->kill();  // at the instant after the answer
    start();
    const json restored = status();
    EXPECT_EQ(restored["latched"], true);
    EXPECT_EQ(restored["latch_sequence"], 1);
    EXPECT_EQ(restored["cause"], "operator");
    EXPECT_EQ(restored["reason"], "smoke");
    EXPECT_EQ(restored["since"], since);
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
    ASSERT_TRUE(eventually([&] { return status()["durable"] == true; }));
    EXPECT_EQ(safety_->terminate(), 0);
    start();
    EXPECT_EQ(status()["latched"], false);
    EXPECT_EQ(request({{"op", "estop"}})["latch_sequence"], 2);  // the number is never used again
}

TEST_F(DaemonTest, CoreThatDetachesAtRestIsNoStop) {
    start();
    start_core();
    EXPECT_EQ(core_->terminate(), 0);
    EXPECT_EQ(status()["core"]["attached"], false);
    EXPECT_EQ(status()["latched"], false);
    start_core();
}

TEST_F(DaemonTest, CoreThatDetachesWhileArmedIsAStop) {
    start();
    start_core("armed");
    EXPECT_EQ(core_->terminate(), 0);
    EXPECT_EQ(status()["cause"], "core_lost");
}

TEST_F(DaemonTest, FlagIsReadableForEveryone) {
    start();
    auto reply = connect()->request({{"op", "segment"}});
    ASSERT_TRUE(reply && reply->descriptors.size() == 1);
    const auto segment =
        std::move(shm::Reader<shm::SafetySegment>::map(std::move(reply->descriptors[0])).value());
    EXPECT_EQ(segment.segment().stop.load(), 0u);
    request({{"op", "estop"}});
    EXPECT_EQ(segment.segment().stop.load(), 1u);
}

TEST_F(DaemonTest, LostWorkerIsAStopWhenOneIsRequired) {
    ::setenv("HOLDFAST_SAFETY__WORKER_REQUIRED", "true", 1);
    start();
    auto worker = connect();
    EXPECT_EQ(worker->request({{"op", "heartbeat"}}).value().body["ok"], false);
    ASSERT_EQ(worker->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], true);
    ASSERT_EQ(worker->request({{"op", "heartbeat"}}).value().body["ok"], true);
    ASSERT_EQ(worker->request({{"op", "detach"}}).value().body["ok"], true);
    EXPECT_FALSE(latched());
    ASSERT_EQ(worker->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], true);
    worker.reset();
    ASSERT_TRUE(eventually([&] { return latched(); }));
    EXPECT_EQ(status()["cause"], "worker_lost");
    EXPECT_EQ(request({{"op", "reset"}})["ok"], false);
    worker = connect();
    ASSERT_EQ(worker->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], true);
    ASSERT_EQ(worker->request({{"op", "heartbeat"}}).value().body["ok"], true);
    EXPECT_TRUE(eventually([&] { return request({{"op", "reset"}})["ok"] == true; }));
}

TEST_F(DaemonTest, DamagedRecordIsAStop) {
    fs::create_directories(record_.parent_path());
    std::ofstream(record_) << "{\"latch_sequence\":0";
    start();
    const json stopped = status();
    EXPECT_EQ(stopped["latched"], true);
    EXPECT_EQ(stopped["cause"], "state_record_unreadable");
    EXPECT_TRUE(eventually([&] { return request({{"op", "reset"}})["ok"] == true; }));  // written anew
    EXPECT_TRUE(fs::exists(record_.string() + ".damaged"));
}

TEST_F(DaemonTest, StateDirectoryThatCannotBeMadeIsAStopThatStands) {
    std::ofstream(state_.path() / "safety") << "a file in its place";
    start();
    // What stands is said by the loop, whose first period may come after the first answer.
    ASSERT_TRUE(eventually([&] { return status()["standing"] == "state_record_unreadable"; })) << status();
    EXPECT_EQ(status()["durable"], false);
    const json refused = request({{"op", "reset"}});
    EXPECT_EQ(refused["ok"], false);
    EXPECT_NE(refused["error"].get<std::string>().find("mend that and reset again"), std::string::npos)
        << refused;
    fs::remove(state_.path() / "safety");
    EXPECT_TRUE(eventually([&] { return status()["standing"] == "none"; }));
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
}

TEST_F(DaemonTest, StopThatCannotBeWrittenStandsAndSaysSo) {
    start();
    ASSERT_TRUE(eventually([&] { return fs::exists(record_); }));
    fs::create_directories(record_.string() + ".tmp");  // in the way of every new record
    const json reply = request({{"op", "estop"}});
    EXPECT_EQ(reply["ok"], false);
    EXPECT_EQ(reply["latch_sequence"], 1);
    EXPECT_NE(reply["error"].get<std::string>().find("the stop stands, but could not be made durable"),
              std::string::npos)
        << reply;
    const json stopped = status();
    EXPECT_EQ(stopped["latched"], true);
    EXPECT_EQ(stopped["durable"], false);
    EXPECT_NE(stopped["record_error"].get<std::string>().find("estop.json"), std::string::npos);
    fs::remove(record_.string() + ".tmp");
    EXPECT_TRUE(eventually([&] { return status()["durable"] == true; }));  // it kept trying
    safety_->kill();
    start();
    EXPECT_TRUE(latched());
}

// Hazard: a stop that cannot be written is forgotten by the next restart, with a robot that moves.
TEST_F(DaemonTest, RecordThatCannotBeWrittenForbidsArming) {
    const fs::path obstacle = record_.string() + ".tmp";
    fs::create_directories(obstacle);
    start();
    core_.emplace(std::vector<std::string>{FAKE_CORE_EXECUTABLE, socket_.string()}, run_.path() / "core.log");
    ASSERT_TRUE(eventually([&] { return status()["core"]["age_ms"].is_number(); })) << core_->log();
    ASSERT_TRUE(eventually([&] { return status()["record_error"].is_string(); })) << status();
    EXPECT_EQ(status()["arm_permitted"], false);
    EXPECT_EQ(latched(), false);
    fs::remove(obstacle);
    EXPECT_TRUE(eventually([&] { return status()["arm_permitted"] == true; })) << status();
}

TEST_F(DaemonTest, CoreThatAttachesUnderAStopBringsItBack) {
    start();
    const auto segment = std::move(shm::Writer<shm::StateSegment>::create().value());
    for (const json& wrong : {json("3"), json(-3), json(1.5), json(nullptr), json(std::uint64_t{1} << 60)}) {
        const auto reply =
            connect()->request({{"op", "attach"}, {"role", "core"}, {"latch", wrong}}, {segment.fd()});
        EXPECT_EQ(reply.value().body["ok"], false) << wrong;
    }
    EXPECT_FALSE(latched());
    const auto core = connect();
    auto reply = core->request({{"op", "attach"}, {"role", "core"}, {"latch", 3}}, {segment.fd()});
    ASSERT_EQ(reply.value().body["ok"], true) << reply->body;
    const auto flag =
        std::move(shm::Reader<shm::SafetySegment>::map(std::move(reply->descriptors[0])).value());
    EXPECT_EQ(flag.segment().stop.load(), 4u) << "stopped before the core looks";
    EXPECT_EQ(status()["cause"], "state_record_unreadable");
    ASSERT_TRUE(eventually([&] { return status()["durable"] == true; })) << status();
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
    ASSERT_EQ(core->request({{"op", "detach"}}).value().body["ok"], true);
    reply = connect()->request({{"op", "attach"}, {"role", "core"}, {"latch", 4}}, {segment.fd()});
    ASSERT_EQ(reply.value().body["ok"], true) << reply->body;
    const auto cleared =
        std::move(shm::Reader<shm::SafetySegment>::map(std::move(reply->descriptors[0])).value());
    EXPECT_EQ(cleared.segment().stop.load(), 0u) << "that one is known, and was reset";
}

TEST_F(DaemonTest, ResetWaitsForACoreThatStillMoves) {
    start();
    start_core("armed");
    ASSERT_EQ(request({{"op", "estop"}})["ok"], true);
    const json refused = request({{"op", "reset"}});
    EXPECT_EQ(refused["ok"], false);
    EXPECT_NE(refused["error"].get<std::string>().find("has not carried out the stop"), std::string::npos)
        << refused;
    EXPECT_TRUE(latched());
}

TEST_F(DaemonTest, StopIsNeverRefusedForItsForm) {
    start();
    std::uint64_t last = 0;
    for (const json& body :
         {json{{"op", "estop"}}, json{{"op", "estop"}, {"reason", 5}}, json{{"op", "estop"}, {"x", 1}},
          json{{"op", "estop"}, {"reason", std::string(10'000, 'x')}}}) {
        EXPECT_EQ(request(body)["latch_sequence"], ++last) << body;
        EXPECT_LE(status()["reason"].get<std::string>().size(), 500u);
        EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
    }
}

TEST_F(DaemonTest, RefusesWhatItDoesNotKnow) {
    start();
    for (const json& body :
         {json::object(), json{{"op", 1}}, json{{"op", "start"}}, json{{"op", "status"}, {"x", 1}},
          json{{"op", "reset"}, {"force", true}}, json{{"op", "detach"}}, json{{"op", "attach"}},
          json{{"op", "attach"}, {"role", "operator"}}, json{{"op", "attach"}, {"role", "core"}}}) {
        const json reply = request(body);
        EXPECT_EQ(reply["ok"], false) << body;
        EXPECT_TRUE(reply["error"].is_string()) << body;
    }
    EXPECT_EQ(status()["latched"], false);
}

TEST_F(DaemonTest, RefusesASegmentThatIsNone) {
    start();
    const FileDescriptor file(::open("/dev/null", O_RDONLY));
    const auto reply = connect()->request({{"op", "attach"}, {"role", "core"}}, {file.get()});
    EXPECT_EQ(reply.value().body["ok"], false);
}

// An older or newer core: its segment is sealed and of the right size, only the version differs.
TEST_F(DaemonTest, RefusesACoreOfAnotherVersion) {
    start();
    const FileDescriptor fd(::memfd_create("skewed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(fd.get(), sizeof(shm::StateSegment)), 0);
    const shm::Header header{shm::kStateMagic, shm::kLayoutVersion + 1, sizeof(shm::StateSegment)};
    ASSERT_EQ(::pwrite(fd.get(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
    ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    const auto reply = connect()->request({{"op", "attach"}, {"role", "core"}}, {fd.get()}).value().body;
    EXPECT_EQ(reply["ok"], false);
    const auto why = reply["error"].get<std::string>();
    EXPECT_NE(why.find("layout version " + std::to_string(shm::kLayoutVersion + 1)), std::string::npos)
        << why;
    EXPECT_NE(why.find("run the same Holdfast version everywhere"), std::string::npos) << why;
    EXPECT_EQ(status()["core"]["attached"], false);
    EXPECT_EQ(status()["arm_permitted"], false) << "no motion";
}

TEST_F(DaemonTest, LinesThatCannotBeReadAreAStopThatStands) {
    set("HOLDFAST_SAFETY__ESTOP_LINES", "no-such-chip:5,no-such-chip:6");
    set("HOLDFAST_SAFETY__ENABLE_LINE", "no-such-chip:7");
    start();
    ASSERT_TRUE(eventually([&] { return latched(); }));
    const json stopped = status();
    EXPECT_EQ(stopped["cause"], "estop_line_unreadable");
    EXPECT_EQ(stopped["estop_line"]["readable"], false);
    EXPECT_EQ(stopped["enable_line"], false);
    ASSERT_EQ(stopped["problems"].size(), 3u) << stopped;
    EXPECT_NE(stopped["problems"][0].get<std::string>().find("no GPIO chip"), std::string::npos) << stopped;
    const json refused = request({{"op", "reset"}});
    EXPECT_EQ(refused["ok"], false);
    EXPECT_NE(refused["error"].get<std::string>().find("look at estop_lines"), std::string::npos) << refused;
}

TEST_F(DaemonTest, EnableLineThatCannotBeHadIsAStop) {
    set("HOLDFAST_SAFETY__ENABLE_LINE", "no-such-chip:7");
    start();
    ASSERT_TRUE(eventually([&] { return latched(); }));
    EXPECT_EQ(status()["cause"], "enable_line_failed");
    EXPECT_EQ(request({{"op", "reset"}})["ok"], false);
    const std::string log = safety_->log();
    const std::size_t said = log.find("waits at most 10 s");
    ASSERT_NE(said, std::string::npos) << log;
    EXPECT_EQ(log.find("waits at most 10 s", said + 1), std::string::npos) << log;
}

// Hazard: a predecessor may have left the line high, and the links may keep this daemon from starting for
// ever.
TEST_F(DaemonTest, EnableLineIsTakenBeforeTheLinks) {
    set("HOLDFAST_SAFETY__ENABLE_LINE", "no-such-chip:7");
    plant_->kill();
    launch();
    EXPECT_EQ(safety_->wait(), 1);
    const std::string log = safety_->log();
    EXPECT_LT(log.find("the enable line is not to be had"), log.find("start holdfast-plant")) << log;
}

TEST_F(DaemonTest, EndsWhileItWaitsForItsDevices) {
    set("HOLDFAST_SAFETY__ENABLE_LINE", "no-such-chip:7");
    launch();
    const auto waits = [&] { return safety_->log().find("waits at most 10 s") != std::string::npos; };
    ASSERT_TRUE(eventually(waits)) << safety_->log();
    EXPECT_EQ(safety_->terminate(), 0);
    EXPECT_EQ(safety_->log().find("STOPPED"), std::string::npos) << safety_->log();
}

TEST_F(DaemonTest, WithoutItsHardwareWatchdogNothingArms) {
    set("HOLDFAST_SAFETY__WATCHDOG", "/dev/no-such-watchdog");
    start();
    core_.emplace(std::vector<std::string>{FAKE_CORE_EXECUTABLE, socket_.string()}, run_.path() / "core.log");
    ASSERT_TRUE(eventually([&] { return status()["core"]["age_ms"].is_number(); })) << core_->log();
    EXPECT_EQ(status()["arm_permitted"], false);
    EXPECT_EQ(latched(), false);
    EXPECT_NE(status()["problems"][0].get<std::string>().find("/dev/no-such-watchdog"), std::string::npos);
}

TEST_F(DaemonTest, RequiredSensorThatIsNotThereIsAStop) {
    if (fs::exists("/sys/class/thermal/thermal_zone0/temp")) GTEST_SKIP() << "this machine has a sensor";
    set("HOLDFAST_SAFETY__TEMPERATURE_REQUIRED", "true");
    start();
    ASSERT_TRUE(eventually([&] { return latched(); }));
    EXPECT_EQ(status()["cause"], "health_unreadable");
    const json refused = request({{"op", "reset"}});
    EXPECT_NE(refused["error"].get<std::string>().find("look at the sensor"), std::string::npos) << refused;
}

TEST_F(DaemonTest, StopLeavesEvidenceEvenIfTheDaemonIsKilledAtOnce) {
    start();
    start_core("armed");
    ASSERT_EQ(request({{"op", "estop"}})["ok"], true);
    safety_->kill();  // before half a second has passed, unless the machine is very slow
    const fs::path file = state_.path() / "safety" / "evidence" / "stop-0000000001.evidence";
    start();
    ASSERT_TRUE(eventually([&] { return fs::exists(file); })) << status();
    std::ifstream in(file, std::ios::binary);
    std::string line;
    std::getline(in, line);
    const json header = json::parse(line);
    EXPECT_EQ(header["cause"], "operator");
    EXPECT_EQ(header["stop"], 1);
    EXPECT_EQ(header["missing"], 0);
    safety_->kill();
    start();
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
    ASSERT_EQ(request({{"op", "estop"}})["ok"], true);
    EXPECT_TRUE(eventually([&] { return status()["evidence"]["saved"] == 1; }))
        << "the first is not saved again";
}

TEST_F(DaemonTest, EvidenceThatCannotBeSavedCostsNothingElse) {
    fs::create_directories(record_.parent_path());
    std::ofstream(record_.parent_path() / "evidence") << "a file in its place";
    start();
    EXPECT_EQ(request({{"op", "estop"}})["ok"], true) << "durable all the same";
    ASSERT_TRUE(eventually([&] { return status()["evidence"]["error"].is_string(); })) << status();
    EXPECT_EQ(status()["durable"], true);
    EXPECT_EQ(request({{"op", "reset"}})["ok"], true);
}

TEST_F(DaemonTest, HasOneCoreAndOneWorker) {
    start();
    start_core();
    const auto segment = std::move(shm::Writer<shm::StateSegment>::create().value());
    EXPECT_EQ(connect()->request({{"op", "attach"}, {"role", "core"}}, {segment.fd()}).value().body["ok"],
              false);
    const auto worker = connect();
    ASSERT_EQ(worker->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], true);
    EXPECT_EQ(worker->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], false);
    EXPECT_EQ(connect()->request({{"op", "attach"}, {"role", "worker"}}).value().body["ok"], false);
    EXPECT_EQ(status()["latched"], false);
}

TEST_F(DaemonTest, WhoLeftBeforeItsTurnIsNeitherAttachedNorLost) {
    start();
    const auto segment = std::move(shm::Writer<shm::StateSegment>::create().value());
    safety_->signal(SIGSTOP);
    EXPECT_FALSE(connect()->request({{"op", "attach"}, {"role", "core"}}, {segment.fd()}, 0));
    EXPECT_FALSE(connect()->request({{"op", "attach"}, {"role", "worker"}}, {}, 0));
    safety_->signal(SIGCONT);
    start_core();
    EXPECT_EQ(status()["latched"], false) << status();
    EXPECT_EQ(status()["worker"]["attached"], false);
    // To stop is another matter: nobody has to wait for that.
    safety_->signal(SIGSTOP);
    EXPECT_FALSE(connect()->request({{"op", "estop"}}, {}, 0));
    safety_->signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return latched(); }));
}

TEST_F(DaemonTest, TellsSystemdThatItIsReadyAndAlive) {
    NotifySocket systemd(run_.path());
    launch();
    EXPECT_TRUE(systemd.hears("READY=1"));
    EXPECT_TRUE(ask(socket_, {{"op", "status"}}));
    EXPECT_TRUE(systemd.hears("WATCHDOG=1"));
}

TEST_F(DaemonTest, TellsSystemdWhetherAStopStands) {
    NotifySocket systemd(run_.path());
    launch();
    EXPECT_TRUE(systemd.hears("STATUS=no stop stands"));
    request({{"op", "estop"}});
    EXPECT_TRUE(systemd.hears("STATUS=STOPPED, no. 1: operator"));
}

// Hazard: the loop that guards the motion hangs, and the thread beside it goes on telling that all is well.
TEST_F(DaemonTest, FeedsNoWatchdogWhileItsLoopStandsStill) {
    NotifySocket systemd(run_.path());
    start();
    EXPECT_TRUE(systemd.hears("WATCHDOG=1"));
    {
        const auto loop = FrozenThread::most_urgent_of(safety_->pid());
        if (!loop) GTEST_SKIP() << "no real-time thread is to be had here";
        EXPECT_FALSE(systemd.hears_in(6, safety_->pid(), "WATCHDOG=1"));
    }
    EXPECT_TRUE(systemd.hears("WATCHDOG=1"));
}

// As whoever may neither lock memory nor have real-time threads.
TEST_F(DaemonTest, WithoutRealTimeNothingArmsWhereItIsRequired) {
    std::vector<std::string> poor{"/usr/bin/prlimit", "--memlock=0:0", "--rtprio=0:0",
                                  SAFETY_EXECUTABLE,  "--config",      robot_file_.string()};
    if (::geteuid() == 0)
        poor.insert(poor.begin(), {"/usr/bin/setpriv", "--bounding-set=-ipc_lock,-sys_nice,-sys_resource"});
    for (const bool required : {false, true}) {
        set("HOLDFAST_CONTROL__REALTIME", required ? "require" : "prefer");
        safety_.emplace(poor, run_.path() / "safety.log");
        ASSERT_TRUE(eventually([&] { return ask(socket_, {{"op", "status"}}).has_value(); }))
            << safety_->log();
        EXPECT_FALSE(status()["realtime"].empty()) << status();
        core_.emplace(std::vector<std::string>{FAKE_CORE_EXECUTABLE, socket_.string()},
                      run_.path() / "core.log");
        ASSERT_TRUE(eventually([&] { return status()["core"]["age_ms"].is_number(); })) << core_->log();
        if (required) {
            EXPECT_TRUE(eventually([&] { return status()["durable"] == true; })) << status();
            EXPECT_EQ(status()["arm_permitted"], false);
        } else {
            EXPECT_TRUE(eventually([&] { return status()["arm_permitted"] == true; })) << status();
        }
        core_.reset();
        safety_.reset();
    }
}

TEST_F(DaemonTest, EndsInGoodOrder) {
    start();
    EXPECT_EQ(safety_->terminate(), 0);
    EXPECT_FALSE(fs::exists(socket_));
    EXPECT_FALSE(fs::exists(run_.path() / "link-safety-0.sock"));
}

TEST_F(DaemonTest, WithoutDrivesItSaysWhatToStart) {
    plant_->kill();
    launch();
    EXPECT_EQ(safety_->wait(), 1);
    EXPECT_NE(safety_->log().find("start holdfast-plant"), std::string::npos) << safety_->log();
}

TEST_F(DaemonTest, WrongConfigurationIsSaid) {
    std::ofstream(robot_file_) << "[robot]\nid = 1\n";
    launch();
    EXPECT_EQ(safety_->wait(), 2);
    EXPECT_NE(safety_->log().find("robot.toml"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::safety
