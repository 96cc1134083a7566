// A controller's way into a running robot, through control.sock, with controllers that mean harm.
#include "core/deployment.hpp"

#include <optional>

#include "service_rig.hpp"
#include "wasm/epoch_timer.hpp"

namespace holdfast::core {
namespace {

using nlohmann::json;

std::string wat(const std::string& body) {
    return R"((module (import "command" "set" (func $set (param i32 f64) (result i32)))
        (import "safety" "request_estop" (func $request_estop))
        (func (export "process") (param $tick i64) )" +
           body + "))";
}

// Does `what` in tick `at`, and turns the spindle gently before.
std::string from_tick(int at, const std::string& what) {
    return wat("(drop (call $set (i32.const 1) (f64.const 2))) (if (i64.ge_s (local.get $tick) (i64.const " +
               std::to_string(at) + ")) (then " + what + "))");
}

const std::string kGood = wat("(drop (call $set (i32.const 1) (f64.const 1)))");

// `known` is the last known good controller, or null.
bool is_named(const json& known, const char* name) { return known.is_object() && known["name"] == name; }

class DeploymentTest : public ServiceTest {
  protected:
    DeploymentTest() {
        stop();
        rig.config.control.shadow_ticks = 30;
        rig.config.control.canary_ticks = 30;
        rig.config.control.watch_ticks = 20;
        start(ResumeMode::kManual);
    }
    void run_good() {
        EXPECT_EQ(load(kGood.c_str(), "good")["stage"], "active");
        ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
        await([](const json& s) {
            return s["controller"]["state"] == "running" && s["controller"]["tick"] > 3;
        });
    }
    void run_good_until_proved() {
        run_good();
        await([](const json& s) { return is_named(s["lifecycle"]["last_known_good"], "good"); });
    }
    json await_outcome(const json& loaded) {
        EXPECT_EQ(loaded["ok"], true) << loaded;
        return await([&](const json& s) {
            const json& outcome = s["lifecycle"]["outcome"];
            return outcome.is_object() && outcome["generation"] == loaded["generation"];
        });
    }
    void expect_good_goes_on() {
        const auto tick = ask({{"op", "status"}})["controller"]["tick"].get<std::uint64_t>();
        const json status = await([=](const json& s) { return s["controller"]["tick"] > tick + 5; });
        EXPECT_EQ(status["mode"], "running");
        EXPECT_EQ(status["controller"]["name"], "good");
        EXPECT_EQ(status["controller"]["generation"], 1);
        EXPECT_EQ(status["controller"]["fault"], "none");
    }
};

TEST_F(DeploymentTest, TriesAControllerBesideTheOneThatRunsAndThenActivatesIt) {
    run_good();
    const json loaded = load(from_tick(0, "").c_str(), "next");
    EXPECT_EQ(loaded["stage"], "shadow");
    EXPECT_EQ(loaded["generation"], 2);
    const json status = await_outcome(loaded);
    EXPECT_EQ(status["lifecycle"]["outcome"]["result"], "active");
    EXPECT_EQ(status["lifecycle"]["outcome"]["tick"], 60);
    EXPECT_EQ(status["lifecycle"]["candidate"], nullptr);
    const json active = await([](const json& s) { return s["controller"]["generation"] == 2; });
    EXPECT_EQ(active["controller"]["name"], "next");
    EXPECT_EQ(active["mode"], "running");
    await([](const json& s) { return is_named(s["lifecycle"]["last_known_good"], "next"); });
}

TEST_F(DeploymentTest, ShowsTheStageWhileItLasts) {
    run_good();
    load(from_tick(0, "").c_str(), "next");
    const json status = await([](const json& s) {
        return s["lifecycle"]["candidate"].is_object() && s["lifecycle"]["candidate"]["stage"] == "canary";
    });
    EXPECT_EQ(status["lifecycle"]["candidate"]["name"], "next");
    EXPECT_EQ(status["lifecycle"]["candidate"]["of"], 30);
    EXPECT_EQ(status["controller"]["name"], "good");
}

struct Hostile {
    std::string name;
    std::string source;
    const char* stage;
    const char* reason;
    std::int64_t tick;
    std::string says;
    json channel;
};
void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.name; }

class HostileCandidate : public DeploymentTest, public testing::WithParamInterface<Hostile> {};
TEST_P(HostileCandidate, IsRejectedInASentenceAndTheActiveOneGoesOn) {
    const Hostile& hostile = GetParam();
    run_good();
    // The test's loop stands while a controller is called. Only here, because a busy machine counts as well.
    std::optional<wasm::EpochTimer> timer;
    if (hostile.name == "endless") timer.emplace(engine);
    const json status = await_outcome(load(hostile.source.c_str(), hostile.name));
    const json& outcome = status["lifecycle"]["outcome"];
    EXPECT_EQ(outcome["result"], "rejected");
    EXPECT_EQ(outcome["name"], hostile.name);
    EXPECT_EQ(outcome["stage"], hostile.stage);
    EXPECT_EQ(outcome["reason"], hostile.reason);
    EXPECT_EQ(outcome["tick"], hostile.tick);
    EXPECT_EQ(outcome["channel"], hostile.channel);
    const auto message = outcome["message"].get<std::string>();
    EXPECT_EQ(message.find(std::string(hostile.stage) + ": tick " + std::to_string(hostile.tick) + ": "), 0u)
        << message;
    EXPECT_NE(message.find(hostile.says), std::string::npos) << message;
    EXPECT_NE(message.find("; "), std::string::npos) << "says no mend: " << message;
    timer.reset();
    expect_good_goes_on();
    EXPECT_EQ(ask({{"op", "status"}})["counters"]["candidates_rejected"], 1);
    // The next one is tried as if nothing had been.
    EXPECT_EQ(await_outcome(load(from_tick(0, "").c_str(), "next"))["lifecycle"]["outcome"]["result"],
              "active");
}
INSTANTIATE_TEST_SUITE_P(
    All, HostileCandidate,
    testing::Values(
        Hostile{"endless", from_tick(3, "(loop $l (br $l))"), "shadow", "overrun", 3, "was interrupted", {}},
        Hostile{
            "trap_in_shadow", from_tick(10, "unreachable"), "shadow", "trap", 10, "process(10) trapped", {}},
        Hostile{
            "trap_at_tick_50", from_tick(50, "unreachable"), "canary", "trap", 50, "process(50) trapped", {}},
        Hostile{"nan", from_tick(7, "(drop (call $set (i32.const 1) (f64.const nan)))"), "shadow",
                "not_finite", 7, "command.set(1 \"spindle\", nan) is not finite", "spindle"},
        Hostile{"nan_in_canary", from_tick(40, "(drop (call $set (i32.const 1) (f64.const nan)))"), "canary",
                "not_finite", 40, "command.set(1 \"spindle\", nan) is not finite", "spindle"},
        Hostile{"outside_limits", from_tick(5, "(drop (call $set (i32.const 0) (f64.const 9.5)))"), "shadow",
                "outside_limits", 5, "command.set(0 \"joint\", 9.5) is outside [-1, 1]", "joint"},
        Hostile{"no_channel",
                from_tick(5, "(drop (call $set (i32.const 77) (f64.const 1)))"),
                "shadow",
                "no_channel",
                5,
                "names a channel that does not exist",
                {}},
        Hostile{"estop",
                from_tick(12, "(call $request_estop)"),
                "shadow",
                "estop_request",
                12,
                "process called safety.request_estop",
                {}}));

TEST_F(DeploymentTest, ADisarmedRobotHasNothingToCompareAndActivatesAtOnce) {
    EXPECT_EQ(load(kGood.c_str(), "good")["stage"], "active");
    EXPECT_EQ(load(kStill, "still")["stage"], "active");
    EXPECT_EQ(ask({{"op", "status"}})["controller"]["name"], "still");
}

TEST_F(DeploymentTest, WithoutStagesItSwapsBetweenTwoTicks) {
    stop();
    rig.config.control.shadow_ticks = rig.config.control.canary_ticks = 0;
    start(ResumeMode::kManual);
    run_good();
    EXPECT_EQ(load(kStill, "still")["stage"], "active");
    const json status = await([](const json& s) { return s["controller"]["generation"] == 2; });
    EXPECT_EQ(status["mode"], "running");
}

TEST_F(DeploymentTest, AFailedLoadBeginsNoTrial) {
    run_good();
    const auto junk = rig.run_directory.path() / "junk.cwasm";
    std::ofstream(junk) << "junk";
    const json reply =
        ask({{"op", "load"}, {"cwasm", junk.string()}, {"name", "bad"}, {"version", "2"}, {"sha256", "11"}});
    EXPECT_EQ(reply["ok"], false);
    EXPECT_EQ(ask({{"op", "status"}})["lifecycle"]["candidate"], nullptr);
    expect_good_goes_on();
}

TEST_F(DeploymentTest, IsRefusedWhilePaused) {
    run_good();
    ASSERT_EQ(ask({{"op", "pause"}})["ok"], true);
    const json reply = load(kStill, "next");
    EXPECT_EQ(reply["ok"], false);
    EXPECT_NE(reply["error"].get<std::string>().find("paused"), std::string::npos) << reply;
}

TEST_F(DeploymentTest, IsRefusedWhereAPeriodHasNoRoomForTwo) {
    stop();
    rig.config.control.controller_hz = 500;
    start(ResumeMode::kManual);
    run_good();
    const json reply = load(kStill, "next");
    EXPECT_EQ(reply["ok"], false);
    EXPECT_NE(reply["error"].get<std::string>().find("no room for two"), std::string::npos) << reply;
}

TEST_F(DeploymentTest, CanBeWithdrawn) {
    stop();
    rig.config.control.shadow_ticks = 100'000;
    start(ResumeMode::kManual);
    EXPECT_EQ(ask({{"op", "withdraw"}})["ok"], false) << "nothing is staged";
    run_good();
    const json loaded = load(kStill, "next");
    await([](const json& s) { return s["lifecycle"]["candidate"].is_object(); });
    const json other = ask({{"op", "withdraw"}, {"generation", 1}});
    EXPECT_EQ(other["ok"], false) << "ended the trial of another controller than it was asked to";
    EXPECT_EQ(other["error"], "withdraw: generation 1 is not staged; 2 is");
    EXPECT_EQ(ask({{"op", "withdraw"}})["generation"], loaded["generation"]);
    const json status = await_outcome(loaded);
    EXPECT_EQ(status["lifecycle"]["outcome"]["result"], "withdrawn");
    expect_good_goes_on();
}

TEST_F(DeploymentTest, ADisarmWithdrawsIt) {
    stop();
    rig.config.control.shadow_ticks = 100'000;
    start(ResumeMode::kManual);
    run_good();
    const json loaded = load(kStill, "next");
    ASSERT_EQ(ask({{"op", "disarm"}})["ok"], true);
    const json status = await_outcome(loaded);
    EXPECT_EQ(status["lifecycle"]["outcome"]["reason"], "stopped");
    EXPECT_EQ(status["controller"]["name"], "good");
}

// Rule 3: back to the last known good one, and nothing moves until somebody arms.
TEST_F(DeploymentTest, AFailureInTheWatchIsRolledBackAtTheStandstill) {
    run_good_until_proved();
    ask({{"op", "disarm"}});
    await(mode_is("disarmed"));
    load(from_tick(5, "unreachable").c_str(), "bad");
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    const json status = await([](const json& s) { return s["lifecycle"]["rolled_back"].is_object(); });
    EXPECT_EQ(status["mode"], "disarmed");
    EXPECT_EQ(status["controller"]["name"], "good");
    EXPECT_EQ(status["lifecycle"]["rolled_back"]["name"], "bad");
    EXPECT_EQ(status["lifecycle"]["rolled_back"]["sha256"], "sha of bad");
    EXPECT_EQ(status["lifecycle"]["rolled_back"]["fault"], "trap");
    EXPECT_EQ(status["lifecycle"]["rolled_back"]["to"], "sha of good");
    EXPECT_NE(status["lifecycle"]["rolled_back"]["message"].get<std::string>().find("process(5) trapped"),
              std::string::npos)
        << status;
    await([](const json& s) { return s["counters"]["rollbacks"] == 1; });
    const auto cycle = status["cycle"].get<std::uint64_t>();
    EXPECT_EQ(await([=](const json& s) { return s["cycle"] > cycle + 500; })["mode"], "disarmed");
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    await([](const json& s) { return s["mode"] == "running" && s["controller"]["name"] == "good"; });
}

TEST_F(DeploymentTest, AFailureAfterATrialIsRolledBackToo) {
    run_good_until_proved();
    load(from_tick(70, "unreachable").c_str(), "bad");  // 60 ticks of trial
    const json status = await([](const json& s) { return s["lifecycle"]["rolled_back"].is_object(); });
    EXPECT_EQ(status["controller"]["name"], "good");
    EXPECT_EQ(status["mode"], "disarmed");
}

TEST_F(DeploymentTest, AFailureAfterTheWatchStands) {
    run_good_until_proved();
    load(from_tick(120, "unreachable").c_str(), "late");
    const json status =
        await([](const json& s) { return s["controller"]["state"] == "faulted" && s["mode"] == "disarmed"; });
    EXPECT_EQ(status["controller"]["name"], "late");
    for (int i = 0; i < 20; ++i) service->keep_house();
    EXPECT_EQ(ask({{"op", "status"}})["controller"]["state"], "faulted");
    EXPECT_EQ(ask({{"op", "status"}})["counters"]["rollbacks"], 0);
}

// Rule 3: they latch a stop, and the reset is refused until a person has dealt with the controller.
TEST_F(DeploymentTest, NaNAndARequestForAnEstopInTheWatchAreNotRolledBack) {
    for (const char* what : {"(drop (call $set (i32.const 1) (f64.const nan)))", "(call $request_estop)"}) {
        run_good_until_proved();
        ask({{"op", "disarm"}});
        await(mode_is("disarmed"));
        load(from_tick(5, what).c_str(), "bad");
        ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
        await([](const json& s) { return s["controller"]["state"] == "faulted" && s["mode"] == "disarmed"; });
        for (int i = 0; i < 20; ++i) service->keep_house();
        EXPECT_EQ(ask({{"op", "status"}})["controller"]["name"], "bad") << what;
        EXPECT_EQ(ask({{"op", "status"}})["counters"]["rollbacks"], 0);
        load(kStill);
    }
}

// After a power cut the worker, whose journal is on disk, says which one it was.
TEST_F(DeploymentTest, GoesBackToTheOneThatItWasTold) {
    load(kGood.c_str(), "good");
    load(from_tick(5, "unreachable").c_str(), "bad");
    const json good{{"op", "last_known_good"},
                    {"cwasm", (rig.run_directory.path() / "good.cwasm").string()},
                    {"name", "good"},
                    {"version", "1"},
                    {"sha256", "sha of good"}};
    ASSERT_EQ(ask(good)["ok"], true);
    json relative = good;
    relative["cwasm"] = "good.cwasm";
    EXPECT_EQ(ask(relative)["ok"], false);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    const json status = await([](const json& s) { return s["lifecycle"]["rolled_back"].is_object(); });
    EXPECT_EQ(status["controller"]["name"], "good");
}

TEST_F(DeploymentTest, AFailureStandsWhereTheLastKnownGoodOneCannotBeLoaded) {
    load(from_tick(5, "unreachable").c_str(), "bad");
    ASSERT_EQ(ask({{"op", "last_known_good"},
                   {"cwasm", "/nonexistent.cwasm"},
                   {"name", "gone"},
                   {"version", "1"},
                   {"sha256", "00"}})["ok"],
              true);
    ASSERT_EQ(ask({{"op", "arm"}})["ok"], true);
    await([](const json& s) { return s["controller"]["state"] == "faulted" && s["mode"] == "disarmed"; });
    for (int i = 0; i < 20; ++i) service->keep_house();
    EXPECT_EQ(ask({{"op", "status"}})["controller"]["name"], "bad");
    EXPECT_EQ(ask({{"op", "status"}})["counters"]["rollbacks"], 0);
}

}  // namespace
}  // namespace holdfast::core
