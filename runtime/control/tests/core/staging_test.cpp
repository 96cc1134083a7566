// A controller that is tried beside the active one: whatever it does, the active one goes on as if it were
// alone.
#include <cmath>

#include "runner_rig.hpp"

namespace holdfast::core {
namespace {

using Script = ScriptedController::Script;

Script sets(double value) {
    return [value](auto, const auto&, auto& out) { return set_first(value, out); };
}

class Trial : public Runner {
  protected:
    Trial() {
        config.control.shadow_ticks = 5;
        config.control.canary_ticks = 4;
        config.control.watch_ticks = 10;
        config.commands[0].kind = ChannelKind::kVelocity;
        config.commands[0].limits = {-10.0, 10.0};  // a canary may deviate by 2.0
        config.commands[1].kind = ChannelKind::kPosition;
        config.commands[1].limits = {-1.0, 1.0};
        config.states.clear();
        snapshot.mode = shm::Mode::kRunning;
        active = &load(sets(1.0));
        tick();
    }
    ScriptedController& stage(Script script) { return load(std::move(script), Stage::kShadow); }
    const Lifecycle& lifecycle() { return exchange.lifecycle.latest(); }
    void expect_active_goes_on(const Setpoint& setpoint) {
        EXPECT_EQ(setpoint.generation, 1u);
        EXPECT_EQ(setpoint.fault, ControllerFault::kNone);
        EXPECT_EQ(setpoint.mono_ns, now_ns);
        EXPECT_EQ(setpoint.value[0], 1.0);
        EXPECT_EQ(active->ticks.back(), static_cast<std::int64_t>(active->ticks.size()) - 1);
    }

    ScriptedController* active{};
};

TEST_F(Trial, GoesThroughShadowAndCanaryAndEndsActiveWithoutASeam) {
    ScriptedController& candidate = stage(sets(2.5));
    for (int i = 0; i < 4; ++i) {
        expect_active_goes_on(tick());
        EXPECT_EQ(lifecycle().candidate, 2u);
        EXPECT_EQ(lifecycle().stage, Stage::kShadow);
        EXPECT_EQ(lifecycle().stage_ticks, static_cast<std::uint64_t>(i + 1));
    }
    for (int i = 0; i < 4; ++i) {
        const Setpoint& setpoint = tick();
        EXPECT_EQ(setpoint.value[0], 2.5) << "near enough to be sent as it is";
        EXPECT_EQ(setpoint.generation, 1u);
        EXPECT_EQ(lifecycle().stage, Stage::kCanary);
    }
    EXPECT_EQ(exchange.in_use.load()->generation, 1u);
    const Setpoint& promoted = tick();
    EXPECT_EQ(promoted.generation, 2u);
    EXPECT_EQ(promoted.value[0], 2.5);
    EXPECT_EQ(promoted.state, ControllerState::kLoaded);
    EXPECT_EQ(exchange.in_use.load()->generation, 2u);
    EXPECT_EQ(lifecycle().candidate, 0u);
    EXPECT_EQ(lifecycle().outcome.generation, 2u);
    EXPECT_EQ(lifecycle().outcome.verdict, Verdict::kActivated);
    const std::size_t last = active->ticks.size();
    tick();
    EXPECT_EQ(active->ticks.size(), last) << "the old one is still called";
    EXPECT_EQ(candidate.ticks, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(exchange.setpoint.latest().mono_ns, now_ns);
    EXPECT_EQ(counter(Counter::kCandidateTicks), 9u);
    EXPECT_EQ(counter(Counter::kCandidatesRejected), 0u);
}

TEST_F(Trial, SeesWhatTheActiveOneSees) {
    config.states.resize(2);
    snapshot.state = {0.25, 0.5};
    std::int64_t sim_ns = 0;
    stage([&](auto, const wasm::TickInput& input, auto& out) {
        EXPECT_EQ(input.state.size(), 2u);
        EXPECT_EQ(input.state[1], 0.5);
        sim_ns = input.sim_time_ns;
        return set_first(1.0, out);
    });
    EXPECT_EQ(tick().sim_time_ns, sim_ns);
}

TEST_F(Trial, OfACanaryIsHeldNearTheActiveOutput) {
    stage(sets(9.0));
    for (int i = 0; i < 4; ++i) tick();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(tick().value[0], 3.0) << "further than canary_deviation";
    EXPECT_EQ(counter(Counter::kCanaryLimited), 4u);
    tick();
    EXPECT_EQ(tick().value[0], 9.0);
}

// A position that is not set holds; nothing may come in its place.
TEST_F(Trial, OfACanaryKeepsAnUnsetPositionUnset) {
    stage([](auto, const auto&, auto& out) {
        out.set = 3;
        out.value = {1.5, 0.7};
        return wasm::TickResult::kOk;
    });
    for (int i = 0; i < 6; ++i) tick();
    EXPECT_EQ(exchange.setpoint.latest().set, 1u) << "moved a position that the active controller holds";
    EXPECT_EQ(exchange.setpoint.latest().value[0], 1.5);
}

TEST_F(Trial, OfACanaryHoldsAPositionThatItDoesNotSetButNotFarFromTheActiveOne) {
    double position = 0.5;
    active = &load([&](auto, const auto&, auto& out) {
        out.set = 2;
        out.value[1] = position;
        return wasm::TickResult::kOk;
    });
    tick();
    stage([](auto, const auto&, auto&) { return wasm::TickResult::kOk; });
    for (int i = 0; i < 5; ++i) tick();
    EXPECT_EQ(exchange.setpoint.latest().value[1], 0.5);
    position = 0.6;
    EXPECT_EQ(tick().value[1], 0.5) << "holds";
    position = 0.9;
    EXPECT_NEAR(tick().value[1], 0.7, 1e-12) << "0.2 from the active one's";
    EXPECT_EQ(exchange.setpoint.latest().set & 2u, 2u);
}

struct Misdeed {
    const char* name;
    Ground ground;
    Script script;
};
void PrintTo(const Misdeed& misdeed, std::ostream* out) { *out << misdeed.name; }

const Misdeed kMisdeeds[] = {
    {"trap", Ground::kTrap, [](auto, const auto&, auto&) { return wasm::TickResult::kTrap; }},
    {"overrun", Ground::kOverrun, [](auto, const auto&, auto&) { return wasm::TickResult::kDeadline; }},
    {"not_finite", Ground::kNotFinite,
     [](auto, const auto&, auto& out) {
         out.not_finite_count = 1;
         out.not_finite_channel = 1;
         return set_first(1.0, out);
     }},
    {"no_channel", Ground::kNoChannel,
     [](auto, const auto&, auto& out) {
         out.no_channel_count = 1;
         return set_first(1.0, out);
     }},
    {"outside_limits", Ground::kOutsideLimits, [](auto, const auto&, auto& out) {
         out.clamped_count = 1;
         out.clamped_channel = 0;
         return set_first(10.0, out);
     }}};
const Misdeed kEstopRequest{"estop_request", Ground::kEstopRequest, [](auto, const auto&, auto& out) {
                                out.estop_requested = true;
                                return set_first(1.0, out);
                            }};

class Candidate : public Trial, public testing::WithParamInterface<std::tuple<Misdeed, std::int64_t>> {};
TEST_P(Candidate, ThatDoesWrongIsRejectedAloneAndTheActiveOneGoesOn) {
    const Misdeed& misdeed = std::get<0>(GetParam());
    const std::int64_t at = std::get<1>(GetParam());
    ScriptedController& candidate = stage([&](std::int64_t number, const auto& input, auto& out) {
        return number == at ? misdeed.script(number, input, out) : set_first(1.0, out);
    });
    for (std::int64_t i = 0; i <= at; ++i) expect_active_goes_on(tick());
    EXPECT_EQ(lifecycle().candidate, 0u);
    EXPECT_EQ(lifecycle().outcome.verdict, Verdict::kRejected);
    EXPECT_EQ(lifecycle().outcome.ground, misdeed.ground);
    EXPECT_EQ(lifecycle().outcome.tick, at);
    EXPECT_EQ(lifecycle().outcome.stage, at < 5 ? Stage::kShadow : Stage::kCanary);
    const std::size_t calls = candidate.ticks.size();
    for (int i = 0; i < 20; ++i) expect_active_goes_on(tick());
    EXPECT_EQ(candidate.ticks.size(), calls) << "called after its rejection";
    EXPECT_EQ(counter(Counter::kCandidatesRejected), 1u);
    EXPECT_EQ(counter(Counter::kControllerTraps), 0u);
    EXPECT_EQ(counter(Counter::kControllerOverruns), 0u);
    EXPECT_EQ(counter(Counter::kCommandNotFinite), 0u);
    EXPECT_FALSE(exchange.controller_events.pop()) << "a fault of the active controller was told";
}
INSTANTIATE_TEST_SUITE_P(All, Candidate,
                         testing::Combine(testing::ValuesIn(kMisdeeds), testing::Values(0, 3, 5, 7)));
INSTANTIATE_TEST_SUITE_P(InShadow, Candidate,
                         testing::Combine(testing::Values(kEstopRequest), testing::Values(0, 3)));

// Rule 8. The drives hear a canary: it is a controller that moves the robot.
TEST_F(Trial, ACanaryThatAsksForAnEstopGetsOneAlsoIfItFailsInTheSameTick) {
    for (const auto result : {wasm::TickResult::kOk, wasm::TickResult::kTrap, wasm::TickResult::kDeadline}) {
        active = &load(sets(1.0));
        tick();
        stage([&](std::int64_t number, const auto&, auto& out) {
            out.estop_requested = number == 6;
            return number == 6 ? result : set_first(1.0, out);
        });
        for (int i = 0; i < 6; ++i) ASSERT_EQ(tick().fault, ControllerFault::kNone) << i;
        EXPECT_EQ(tick().fault, ControllerFault::kEstopRequest);
        EXPECT_EQ(lifecycle().outcome.ground, Ground::kEstopRequest);
        EXPECT_EQ(lifecycle().outcome.stage, Stage::kCanary);
    }
}

// Rule 6: what a canary set last grows old like any setpoint.
TEST_F(Trial, WhatACanarySetLastIsNotSentForLongerThanASetpointMayBe) {
    std::int64_t used_ns = 0;
    active = &load([&](auto, const auto&, auto& out) {
        runner_clock() += used_ns;
        return set_first(1.0, out);
    });
    tick();
    stage(sets(2.5));
    for (int i = 0; i < 6; ++i) tick();
    ASSERT_EQ(exchange.setpoint.latest().value[0], 2.5);
    used_ns = 7'000'000;
    EXPECT_EQ(tick().value[0], 2.5);
    EXPECT_EQ(tick().value[0], 2.5);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(tick().value[0], 1.0) << i;
}

// Rule 7: both share the budget, and the active one never waits.
TEST_F(Trial, HasWhatTheActiveOneLeftOfTheBudget) {
    std::int64_t used_ns = 1'500'000;
    active = &load([&](auto, const wasm::TickInput& input, auto& out) {
        EXPECT_EQ(input.left_ns, 0) << "the active controller's budget is cut";
        runner_clock() += used_ns;
        return set_first(1.0, out);
    });
    tick();
    std::int64_t left_ns = 0;
    ScriptedController& candidate = stage([&](auto, const wasm::TickInput& input, auto& out) {
        left_ns = input.left_ns;
        return set_first(1.0, out);
    });
    tick();
    EXPECT_EQ(left_ns, 6'500'000);
    used_ns = 5'999'999;
    tick();
    EXPECT_EQ(left_ns, 2'000'001);
    used_ns = 6'000'001;
    tick();
    EXPECT_EQ(candidate.ticks.size(), 2u) << "called with less time than can be enforced";
    EXPECT_EQ(counter(Counter::kCandidateTicksSkipped), 1u);
    EXPECT_EQ(lifecycle().candidate, 2u + 1u);
    EXPECT_EQ(lifecycle().stage_ticks, 2u) << "a skipped tick proves nothing";
}

TEST_F(Trial, ThatNeverGetsTimeIsRejected) {
    active = &load([&](auto, const auto&, auto& out) {
        runner_clock() += 7'000'000;
        return set_first(1.0, out);
    });
    tick();
    stage(sets(1.0));
    for (int i = 0; i < 100; ++i) tick();
    EXPECT_EQ(lifecycle().candidate, 3u);
    tick();
    EXPECT_EQ(lifecycle().outcome.ground, Ground::kStarved);
    EXPECT_EQ(exchange.setpoint.latest().value[0], 1.0);
}

TEST_F(Trial, InShadowDelaysNoSetpoint) {
    const Setpoint* seen = nullptr;
    double value = 0;
    std::int64_t mono_ns = 0;
    stage([&](auto, const auto&, auto& out) {
        seen = &exchange.setpoint.latest();
        value = seen->value[0];
        mono_ns = seen->mono_ns;
        return set_first(2.0, out);
    });
    tick();
    EXPECT_EQ(value, 1.0);
    EXPECT_EQ(mono_ns, now_ns) << "the active one's setpoint waits for the candidate";
}

TEST_F(Trial, AllowsSlowTicksWithinTheBudget) {
    stage([&](auto, const auto&, auto& out) {
        runner_clock() += 7'900'000;
        return set_first(1.0, out);
    });
    for (int i = 0; i < 9; ++i) tick();
    EXPECT_EQ(exchange.setpoint.latest().generation, 2u);
}

TEST_F(Trial, CountsLateTicksLikeTheActiveOnes) {
    config.control.shadow_ticks = 50;
    config.control.overrun_limit = 5;
    stage([](auto, const auto&, auto& out) {
        set_first(1.0, out);
        return wasm::TickResult::kLate;
    });
    for (int i = 0; i < 4; ++i) tick();
    EXPECT_EQ(lifecycle().candidate, 2u);
    tick();
    EXPECT_EQ(lifecycle().outcome.ground, Ground::kOverrun);
}

TEST_F(Trial, StandsWhileTheRobotIsPausedAndSoDoesSimulationTime) {
    ScriptedController& candidate = stage(sets(1.0));
    tick();
    snapshot.mode = shm::Mode::kPaused;
    const std::int64_t sim_ns = exchange.setpoint.latest().sim_time_ns;
    for (int i = 0; i < 20; ++i) EXPECT_EQ(tick(false).sim_time_ns, sim_ns);
    EXPECT_EQ(candidate.ticks.size(), 1u);
    EXPECT_EQ(lifecycle().candidate, 2u);
    snapshot.mode = shm::Mode::kRunning;
    EXPECT_EQ(tick().sim_time_ns, sim_ns + kPeriod);
    EXPECT_EQ(candidate.ticks.size(), 2u);
}

TEST_F(Trial, IsWithdrawnWhenTheRobotIsStopped) {
    for (const shm::Mode mode :
         {shm::Mode::kStopping, shm::Mode::kEstop, shm::Mode::kFault, shm::Mode::kDisarmed}) {
        snapshot.mode = shm::Mode::kRunning;
        stage(sets(2.0));
        for (int i = 0; i < 6; ++i) tick();
        snapshot.mode = mode;
        EXPECT_EQ(tick(false).generation, 1u);
        EXPECT_EQ(lifecycle().outcome.verdict, Verdict::kWithdrawn);
        EXPECT_EQ(lifecycle().outcome.ground, Ground::kStopped);
        snapshot.mode = shm::Mode::kRunning;
        expect_active_goes_on(tick());
    }
    EXPECT_EQ(counter(Counter::kCandidatesRejected), 0u);
}

TEST_F(Trial, IsWithdrawnWhenTheActiveOneFails) {
    active = &load([](std::int64_t number, const auto&, auto& out) {
        return number < 3 ? set_first(1.0, out) : wasm::TickResult::kTrap;
    });
    tick();
    ScriptedController& candidate = stage(sets(1.0));
    for (int i = 0; i < 3; ++i) tick();
    EXPECT_EQ(exchange.setpoint.latest().fault, ControllerFault::kTrap);
    EXPECT_EQ(candidate.ticks.size(), 2u) << "called after the fault of the active one";
    EXPECT_EQ(tick().fault, ControllerFault::kTrap) << "the candidate took over by itself";
    EXPECT_EQ(lifecycle().outcome.ground, Ground::kActiveFailed);
}

TEST_F(Trial, IsWithdrawnOnRequestAndByTheNextLoad) {
    stage(sets(2.0));
    tick();
    exchange.withdrawn = generation;
    expect_active_goes_on(tick());
    EXPECT_EQ(lifecycle().outcome.ground, Ground::kAsked);
    stage(sets(2.0));
    expect_active_goes_on(tick());
    EXPECT_EQ(lifecycle().candidate, 3u) << "the old request withdraws the next one";
    stage(sets(2.0));
    tick();
    EXPECT_EQ(lifecycle().outcome.generation, 3u);
    EXPECT_EQ(lifecycle().outcome.ground, Ground::kSuperseded);
    load(sets(4.0));
    EXPECT_EQ(tick().value[0], 4.0);
    EXPECT_EQ(lifecycle().outcome.generation, 4u);
    EXPECT_EQ(lifecycle().candidate, 0u);
}

TEST_F(Trial, CanBeOneStageOnly) {
    config.control.canary_ticks = 0;
    stage(sets(9.0));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(tick().value[0], 1.0);
    EXPECT_EQ(tick().value[0], 9.0);
    load(sets(0.0), Stage::kCanary);
    config.control.canary_ticks = 3;
    EXPECT_EQ(tick().value[0], 7.0);
    EXPECT_EQ(lifecycle().stage, Stage::kCanary);
}

TEST_F(Trial, EndsInAWatchThatIsCountedFromTheActivation) {
    stage(sets(1.0));
    for (int i = 0; i < 9; ++i) tick();
    EXPECT_EQ(lifecycle().active, 2u);
    EXPECT_EQ(lifecycle().watched, 0u);
    EXPECT_FALSE(lifecycle().proved);
    for (int i = 0; i < 9; ++i) tick();
    EXPECT_FALSE(lifecycle().proved);
    tick();
    EXPECT_TRUE(lifecycle().proved);
}

}  // namespace
}  // namespace holdfast::core
