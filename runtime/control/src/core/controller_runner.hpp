// The 100 Hz side of the core: calls the active controller, then the one that is staged, and hands the
// setpoint to Tier-1. One call a period; the thread around it is in core.cpp. Real-time like Tier-1, but what
// it runs may take its whole budget.
#pragma once

#include <cstdint>

#include "core/exchange.hpp"
#include "core/overrun_ladder.hpp"
#include "core/readable_state.hpp"
#include "core/staging.hpp"
#include "robot/config.hpp"
#include "rt/clock.hpp"
#include "shm/layout.hpp"

namespace holdfast::core {

class ControllerRunner {
  public:
    using Clock = std::int64_t (*)();

    ControllerRunner(const RobotConfig& config, Exchange& exchange, shm::Histogram& durations,
                     Clock clock = monotonic_ns);

    // `now_ns`: start of this period. The swap to another controller happens here, between two ticks.
    void tick(std::int64_t now_ns);

  private:
    void take_hand_over();
    void activate(LoadedController* next);
    void promote(LoadedController* passed);
    void end_disturbed_trial(shm::Mode mode);
    void advance_sim_time(shm::Mode mode);
    void run(const StateSnapshot& snapshot, std::int64_t now_ns);
    [[nodiscard]] bool run_active(const wasm::TickInput& input, std::int64_t now_ns);
    void run_candidate(wasm::TickInput input, std::int64_t started_ns, std::int64_t now_ns);
    [[nodiscard]] shm::ControllerFault judge(wasm::TickResult result);
    [[nodiscard]] bool too_late(wasm::TickResult result);
    void take_output(std::int64_t now_ns);
    void count_output();
    void fault(shm::ControllerFault fault, std::int64_t now_ns);
    void publish_setpoint();
    void publish_lifecycle();

    const RobotConfig& config_;
    Exchange& exchange_;
    shm::Histogram& durations_;
    Clock clock_;
    LoadedController* taken_{nullptr};
    LoadedController* active_{nullptr};
    Staging staging_;
    ReadableState readable_;
    OverrunLadder ladder_;
    Setpoint setpoint_{};
    std::uint64_t activation_tick_{0};  // the active one's tick when it became active
    wasm::TickOutput output_{};
};

}  // namespace holdfast::core
