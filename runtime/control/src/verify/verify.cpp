#include "verify/verify.hpp"

#include <algorithm>
#include <array>

#include "rt/clock.hpp"
#include "wasm/output_problem.hpp"

namespace holdfast::verify {
namespace {

constexpr int kAttempts = 3;

// One state set's run: the controller, the filter behind it, and where it stands.
class Run {
  public:
    Run(wasm::Controller& controller, const RobotConfig& config, const StateSet& set)
        : controller_(controller),
          config_(config),
          set_(set),
          state_(config.readable_count()),
          samples_(config.states.size()),
          shield_(config) {}

    // False: a tick was late; `rejection` says which.
    [[nodiscard]] bool late() const { return late_; }

    Verified<void> all_ticks(Accepted& accepted) {
        for (tick_ = 0; tick_ < set_.ticks; ++tick_) {
            set_.fill(tick_, state_);
            if (auto passed = one_tick(accepted); !passed) return passed;
        }
        accepted.shield += shield_.counts();
        return {};
    }

  private:
    Verified<void> one_tick(Accepted& accepted) {
        const wasm::TickInput input{.state = state_, .sim_time_ns = tick_ * config_.controller_period_ns()};
        const std::int64_t begin_ns = monotonic_ns();
        const wasm::TickResult result = controller_.tick(tick_, input, output_);
        if (result != wasm::TickResult::kOk) {
            late_ = result == wasm::TickResult::kDeadline || result == wasm::TickResult::kLate;
            return tl::unexpected(rejection(controller_.trap_message()));
        }
        const double tick_us = static_cast<double>(monotonic_ns() - begin_ns) / 1e3;
        accepted.max_tick_us = std::max(accepted.max_tick_us, tick_us);
        if (auto passed = check_output(); !passed) return passed;
        filter();
        return {};
    }

    Verified<void> check_output() {
        auto problem = wasm::output_problem(output_, config_);
        if (!problem) return {};
        Rejection refused = rejection(problem->text);
        refused.channel = std::move(problem->channel);
        refused.value = problem->value;
        return tl::unexpected(std::move(refused));
    }

    // The wishes go through the filter that stands before the drives.
    void filter() {
        for (std::size_t index = 0; index < samples_.size(); ++index) samples_[index] = {state_[index], true};
        const double dt_s = static_cast<double>(config_.controller_period_ns()) * 1e-9;
        (void)shield_.filter({.wish = output_.value, .set = output_.set, .state = samples_, .follow = true},
                             dt_s);
    }

    Rejection rejection(const std::string& what) const {
        return {
            .stage = "verify",
            .error = "verify: tick " + std::to_string(tick_) + ", state set \"" + set_.name + "\": " + what,
            .tick = tick_,
            .channel = {},
            .value = {},
            .state = set_.name};
    }

    wasm::Controller& controller_;
    const RobotConfig& config_;
    const StateSet& set_;
    std::vector<double> state_;
    std::vector<StateSample> samples_;
    Shield shield_;
    wasm::TickOutput output_;
    std::int64_t tick_{};
    bool late_{};
};

Verified<void> run_set(const std::shared_ptr<wasm::Engine>& engine, const RobotConfig& config,
                       const std::filesystem::path& cwasm, const StateSet& set, Accepted& accepted) {
    for (int attempt = 1;; ++attempt) {
        auto controller = wasm::Controller::load(engine, config, cwasm);
        if (!controller) return tl::unexpected(rejection_of(controller.error()));
        Run run(**controller, config, set);
        auto passed = run.all_ticks(accepted);
        if (passed || !run.late() || attempt == kAttempts) return passed;
    }
}

}  // namespace

Rejection rejection_of(const Error& error) {
    return {.stage = error.message.substr(0, error.message.find(':')),
            .error = error.message,
            .tick = {},
            .channel = {},
            .value = {},
            .state = {}};
}

Verified<Accepted> verify(const std::shared_ptr<wasm::Engine>& engine, const RobotConfig& config,
                          const std::filesystem::path& cwasm, const std::vector<StateSet>& sets) {
    Accepted accepted;
    for (const StateSet& set : sets) {
        if (auto passed = run_set(engine, config, cwasm, set, accepted); !passed) {
            return tl::unexpected(std::move(passed.error()));
        }
        accepted.ticks = std::max(accepted.ticks, set.ticks);
        accepted.states.push_back(set.name);
    }
    return accepted;
}

}  // namespace holdfast::verify
