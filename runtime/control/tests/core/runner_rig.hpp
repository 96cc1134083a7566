// The controller thread's side without threads or WebAssembly: scripted controllers, and a clock that they
// move.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/controller_runner.hpp"

namespace holdfast::core {

using shm::ControllerFault;
using shm::ControllerState;
using shm::Counter;

inline constexpr std::int64_t kPeriod = 10'000'000;

inline std::int64_t& runner_clock() {
    static std::int64_t now_ns = 0;
    return now_ns;
}

class ScriptedController final : public wasm::Controller {
  public:
    using Script = std::function<wasm::TickResult(std::int64_t, const wasm::TickInput&, wasm::TickOutput&)>;
    explicit ScriptedController(Script script) : script_(std::move(script)) {}
    wasm::TickResult tick(std::int64_t tick, const wasm::TickInput& input,
                          wasm::TickOutput& output) override {
        ticks.push_back(tick);
        return script_(tick, input, output);
    }
    std::string trap_message() const override { return "scripted"; }
    std::vector<std::int64_t> ticks;

  private:
    Script script_;
};

class Runner : public testing::Test {
  protected:
    Runner() {
        exchange.sim_speed = 1.0;
        runner_clock() = 0;
    }

    ScriptedController& load(ScriptedController::Script script, Stage first_stage = Stage::kActive) {
        auto controller = std::make_unique<ScriptedController>(std::move(script));
        ScriptedController& scripted = *controller;
        loaded.push_back(
            std::make_unique<LoadedController>(std::move(controller), ++generation, first_stage));
        exchange.controller = loaded.back().get();
        return scripted;
    }
    // One period in which the robot runs, or not.
    const Setpoint& tick(bool run = true) {
        now_ns += kPeriod;
        exchange.snapshot.writable() = snapshot;
        exchange.snapshot.writable().run = run;
        exchange.snapshot.writable().mono_ns = now_ns - snapshot_age_ns;
        exchange.snapshot.publish();
        runner.tick(now_ns);
        return exchange.setpoint.latest();
    }
    [[nodiscard]] std::uint64_t counter(Counter which) const { return exchange.counters.get(which); }

    RobotConfig config{.id = "",
                       .model = "",
                       .control = {},
                       .safety = {},
                       .commands = std::vector<CommandChannel>(2),
                       .states = std::vector<StateChannel>(2),
                       .drives = {}};
    Exchange exchange;
    std::unique_ptr<shm::Histogram> durations = std::make_unique<shm::Histogram>();
    ControllerRunner runner{config, exchange, *durations, [] { return runner_clock(); }};
    std::vector<std::unique_ptr<LoadedController>> loaded;
    std::uint64_t generation{0};
    StateSnapshot snapshot;
    std::int64_t snapshot_age_ns{0};
    std::int64_t now_ns{1'000'000'000};
};

inline wasm::TickResult set_first(double value, wasm::TickOutput& output) {
    output.set = 1;
    output.value[0] = value;
    return wasm::TickResult::kOk;
}

}  // namespace holdfast::core
