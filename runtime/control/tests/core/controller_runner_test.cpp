// What becomes of a controller's tick before Tier-1 sees it.
#include "core/controller_runner.hpp"

#include <cmath>

#include "runner_rig.hpp"

namespace holdfast::core {
namespace {

TEST_F(Runner, SaysThatThereIsNoController) {
    const Setpoint& setpoint = tick();
    EXPECT_EQ(setpoint.state, ControllerState::kNone);
    EXPECT_EQ(setpoint.mono_ns, 0);
}

TEST_F(Runner, TicksFromZeroWhenTheRobotRuns) {
    ScriptedController& controller = load([](auto, const auto&, auto& out) { return set_first(1.5, out); });
    EXPECT_EQ(tick(false).state, ControllerState::kLoaded);
    EXPECT_TRUE(controller.ticks.empty()) << "ticked while not armed";
    for (int i = 0; i < 3; ++i) tick();
    EXPECT_EQ(controller.ticks, (std::vector<std::int64_t>{0, 1, 2}));
    const Setpoint& setpoint = exchange.setpoint.latest();
    EXPECT_EQ(setpoint.value[0], 1.5);
    EXPECT_EQ(setpoint.set, 1u);
    EXPECT_EQ(setpoint.mono_ns, now_ns);
    EXPECT_EQ(setpoint.generation, 1u);
    EXPECT_EQ(counter(Counter::kControllerTicks), 3u);
    EXPECT_EQ(durations->count.load(), 3u);
}

TEST_F(Runner, SeesTheStateOfTheSnapshot) {
    double seen = 0;
    bool stale = false;
    load([&](auto, const wasm::TickInput& input, auto&) {
        EXPECT_EQ(input.state.size(), 2u);
        seen = input.state[0];
        stale = std::isnan(input.state[1]);
        return wasm::TickResult::kOk;
    });
    snapshot.state[0] = 0.25;
    snapshot.state[1] = std::nan("");
    tick();
    EXPECT_EQ(seen, 0.25);
    EXPECT_TRUE(stale);
}

TEST_F(Runner, DoesNotTickOnAnOldSnapshot) {
    ScriptedController& controller = load([](auto, const auto&, auto& out) { return set_first(1.0, out); });
    snapshot_age_ns = kPeriod;
    tick();
    EXPECT_EQ(controller.ticks.size(), 1u);
    snapshot_age_ns = kPeriod + 1;
    const std::int64_t last = exchange.setpoint.latest().mono_ns;
    EXPECT_EQ(tick().mono_ns, last) << "a setpoint from old samples looks new";
    EXPECT_EQ(controller.ticks.size(), 1u);
}

TEST_F(Runner, SwapsBetweenTwoTicksAndStartsAtZero) {
    load([](auto, const auto&, auto& out) { return set_first(1.0, out); });
    tick();
    tick();
    ScriptedController& second = load([](auto, const auto&, auto& out) { return set_first(2.0, out); });
    EXPECT_EQ(exchange.in_use.load()->generation, 1u);
    const Setpoint& setpoint = tick();
    EXPECT_EQ(exchange.in_use.load()->generation, 2u);
    EXPECT_EQ(second.ticks, (std::vector<std::int64_t>{0}));
    EXPECT_EQ(setpoint.value[0], 2.0);
    EXPECT_EQ(setpoint.generation, 2u);
}

TEST_F(Runner, UnloadsBetweenTwoTicks) {
    ScriptedController& controller = load([](auto, const auto&, auto& out) { return set_first(1.0, out); });
    tick();
    exchange.controller = nullptr;
    const Setpoint& setpoint = tick();
    EXPECT_EQ(setpoint.state, ControllerState::kNone);
    EXPECT_EQ(setpoint.set, 0u);
    EXPECT_EQ(exchange.in_use.load(), nullptr);
    EXPECT_EQ(controller.ticks.size(), 1u);
}

struct Failure {
    ControllerFault fault;
    ScriptedController::Script script;
};
class FailedTick : public Runner, public testing::WithParamInterface<Failure> {};
TEST_P(FailedTick, LeavesNoSetpointAndIsNotTickedAgain) {
    ScriptedController& controller = load(GetParam().script);
    const Setpoint& setpoint = tick();
    EXPECT_EQ(setpoint.state, ControllerState::kFaulted);
    EXPECT_EQ(setpoint.fault, GetParam().fault);
    EXPECT_EQ(setpoint.set, 0u);
    EXPECT_EQ(setpoint.mono_ns, 0);
    tick();
    EXPECT_EQ(controller.ticks.size(), 1u);
    EXPECT_EQ(exchange.setpoint.latest().fault, GetParam().fault) << "the fault does not stand";
    const auto event = exchange.controller_events.pop();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->detail, 1u << 8 | static_cast<std::uint64_t>(GetParam().fault));

    load([](auto, const auto&, auto& out) { return set_first(1.0, out); });
    EXPECT_EQ(tick().fault, ControllerFault::kNone) << "the next load does not clear it";
}
INSTANTIATE_TEST_SUITE_P(
    All, FailedTick,
    testing::Values(Failure{ControllerFault::kTrap,
                            [](auto, const auto&, auto&) { return wasm::TickResult::kTrap; }},
                    Failure{ControllerFault::kOverrun,
                            [](auto, const auto&, auto&) { return wasm::TickResult::kDeadline; }},
                    Failure{ControllerFault::kNotFinite,
                            [](auto, const auto&, auto& out) {
                                out.not_finite_count = 1;
                                out.not_finite_channel = 1;
                                return set_first(1.0, out);
                            }},
                    Failure{ControllerFault::kEstopRequest,
                            [](auto, const auto&, auto& out) {
                                out.estop_requested = true;
                                return set_first(1.0, out);
                            }},
                    // Asked for, or not finite, and then trapped or interrupted: it latches (rules 5 and 8).
                    Failure{ControllerFault::kEstopRequest,
                            [](auto, const auto&, auto& out) {
                                out.estop_requested = true;
                                return wasm::TickResult::kTrap;
                            }},
                    Failure{ControllerFault::kEstopRequest,
                            [](auto, const auto&, auto& out) {
                                out.estop_requested = true;
                                return wasm::TickResult::kDeadline;
                            }},
                    Failure{ControllerFault::kNotFinite, [](auto, const auto&, auto& out) {
                                out.not_finite_count = 1;
                                return wasm::TickResult::kTrap;
                            }}));

wasm::TickResult late(std::int64_t, const wasm::TickInput&, wasm::TickOutput& out) {
    set_first(1.0, out);
    return wasm::TickResult::kLate;
}

TEST_F(Runner, UsesAndCountsALateTickUntilThereAreTooMany) {
    config.control.overrun_limit = 5;
    load(late);
    for (std::uint64_t ticks = 1; ticks < 5; ++ticks) {
        const Setpoint& setpoint = tick();
        EXPECT_EQ(setpoint.fault, ControllerFault::kNone);
        EXPECT_EQ(setpoint.value[0], 1.0);
        EXPECT_EQ(counter(Counter::kControllerOverruns), ticks);
    }
    EXPECT_EQ(tick().fault, ControllerFault::kOverrun);
    EXPECT_EQ(exchange.setpoint.latest().set, 0u);
}

TEST_F(Runner, DoesNotBlameTheNextControllerForLateTicks) {
    load(late);
    for (int ticks = 0; ticks < 4; ++ticks) tick();
    load(late);
    EXPECT_EQ(tick().fault, ControllerFault::kNone);
}

TEST_F(Runner, CountsWhatWasClampedRefusedAndDropped) {
    load([](auto, const auto&, auto& out) {
        out.clamped_count = 2;
        out.no_channel_count = 3;
        out.metric_count = 64;
        out.metrics_dropped = 5;
        return wasm::TickResult::kOk;
    });
    for (int i = 0; i < 5; ++i) tick();  // 320 metrics for a ring of 256
    EXPECT_EQ(counter(Counter::kCommandClamped), 10u);
    EXPECT_EQ(counter(Counter::kCommandNoChannel), 15u);
    EXPECT_EQ(counter(Counter::kMetricsDropped), 25u + 64u);
}

TEST_F(Runner, SimulationTimeFollowsSpeedAndPause) {
    EXPECT_EQ(tick().sim_time_ns, kPeriod);
    exchange.sim_speed = 2.0;
    EXPECT_EQ(tick().sim_time_ns, 3 * kPeriod);
    exchange.sim_paused = true;
    EXPECT_EQ(tick().sim_time_ns, 3 * kPeriod);
    exchange.sim_paused = false;
    exchange.sim_speed = 0.5;
    EXPECT_EQ(tick().sim_time_ns, 3 * kPeriod + kPeriod / 2);
    load([](auto, const auto&, auto&) { return wasm::TickResult::kOk; });
    EXPECT_GT(tick().sim_time_ns, 3 * kPeriod + kPeriod / 2) << "a swap sets the time back";
}

}  // namespace
}  // namespace holdfast::core
