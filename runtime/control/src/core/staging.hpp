// A controller that is tried beside the active one: shadow, then canary (DESIGN section 3). It has what the
// active one left of the budget, and whatever it does wrong ends the trial and nothing else. Controller
// thread; no allocation.
#pragma once

#include <cstdint>

#include "core/canary.hpp"
#include "core/exchange.hpp"
#include "core/lifecycle.hpp"
#include "core/overrun_ladder.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

class Staging {
  public:
    Staging(const RobotConfig& config, Exchange& exchange)
        : config_(config),
          exchange_(exchange),
          canary_(config),
          ladder_(config.control.overrun_limit, config.control.overrun_window) {}

    void begin(LoadedController* candidate);
    // Ends the trial for a reason that is none of the candidate's doing; nothing if there is none.
    void withdraw(Ground ground);

    [[nodiscard]] bool under_way() const { return candidate_ != nullptr; }
    [[nodiscard]] bool in_shadow() const { return under_way() && stage_ == Stage::kShadow; }
    [[nodiscard]] std::uint64_t generation() const { return under_way() ? candidate_->generation : 0; }

    // One tick of the candidate after one of the active controller, whose setpoint may be replaced (canary).
    // Returns the candidate when it has passed: it is the caller's to activate.
    [[nodiscard]] LoadedController* tick(const wasm::TickInput& input, Setpoint& setpoint);
    // True after a tick in which a canary asked for an e-stop: the drives hear it, so it gets one (rule 8).
    [[nodiscard]] bool stopped_the_robot() const { return stopped_the_robot_; }
    // How many ticks the candidate had.
    [[nodiscard]] std::uint64_t ticks() const { return tick_; }

    void report(Lifecycle& lifecycle) const;

  private:
    [[nodiscard]] bool run(const wasm::TickInput& input);
    [[nodiscard]] Ground judge(wasm::TickResult result);
    void skip();
    void advance();
    void reject(Ground ground);
    void end(Verdict verdict, Ground ground);

    const RobotConfig& config_;
    Exchange& exchange_;
    Canary canary_;
    OverrunLadder ladder_;
    LoadedController* candidate_{nullptr};
    Stage stage_{};
    std::uint64_t stage_ticks_{0};
    std::uint64_t tick_{0};
    std::uint64_t skipped_{0};  // in a row
    std::uint64_t skipped_in_trial_{0};
    bool stopped_the_robot_{false};
    wasm::TickOutput output_;
    StagingOutcome outcome_;
};

}  // namespace holdfast::core
