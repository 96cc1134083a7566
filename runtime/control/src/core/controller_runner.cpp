#include "core/controller_runner.hpp"

#include <algorithm>
#include <cmath>

#include "core/histogram.hpp"

namespace holdfast::core {

using shm::ControllerFault;
using shm::ControllerState;
using shm::Counter;

ControllerRunner::ControllerRunner(const RobotConfig& config, Exchange& exchange, shm::Histogram& durations,
                                   Clock clock)
    : config_(config),
      exchange_(exchange),
      durations_(durations),
      clock_(clock),
      staging_(config, exchange),
      readable_(config),
      ladder_(config.control.overrun_limit, config.control.overrun_window) {}

void ControllerRunner::tick(std::int64_t now_ns) {
    take_hand_over();
    const StateSnapshot& snapshot = exchange_.snapshot.latest();
    end_disturbed_trial(snapshot.mode);
    advance_sim_time(snapshot.mode);
    const bool fresh = now_ns - snapshot.mono_ns <= config_.controller_period_ns();
    if (active_ != nullptr && setpoint_.fault == ControllerFault::kNone && snapshot.run && fresh)
        run(snapshot, now_ns);
    publish_setpoint();
    publish_lifecycle();
}

void ControllerRunner::take_hand_over() {
    LoadedController* next = exchange_.controller.load(std::memory_order_acquire);
    if (next == taken_) return;
    taken_ = next;
    if (next != nullptr && next->first_stage != Stage::kActive) {
        staging_.begin(next);
    } else {
        staging_.withdraw(next == nullptr ? Ground::kAsked : Ground::kSuperseded);
        activate(next);
    }
    exchange_.taken.store(next, std::memory_order_release);
}

void ControllerRunner::activate(LoadedController* next) {
    active_ = next;
    const std::int64_t sim_time_ns = setpoint_.sim_time_ns;
    setpoint_ = {};
    setpoint_.sim_time_ns = sim_time_ns;
    setpoint_.state = next == nullptr ? ControllerState::kNone : ControllerState::kLoaded;
    setpoint_.generation = next == nullptr ? 0 : next->generation;
    activation_tick_ = 0;
    ladder_.clear();
    exchange_.in_use.store(next, std::memory_order_release);
}

// Its ticks go on counting, and what was sent last stands until it sets the next: the motion has no seam.
void ControllerRunner::promote(LoadedController* passed) {
    active_ = passed;
    setpoint_.generation = passed->generation;
    setpoint_.tick = activation_tick_ = staging_.ticks();
    ladder_.clear();
    exchange_.in_use.store(passed, std::memory_order_release);
}

// Only a trial that nothing disturbed tells something about the candidate. Whoever stopped the robot may have
// done it for what the candidate did.
void ControllerRunner::end_disturbed_trial(shm::Mode mode) {
    if (!staging_.under_way()) return;
    if (active_ == nullptr || setpoint_.fault != ControllerFault::kNone) {
        staging_.withdraw(Ground::kActiveFailed);
    } else if (!shm::is_armed(mode)) {
        staging_.withdraw(Ground::kStopped);
    } else if (exchange_.withdrawn.load(std::memory_order_acquire) == staging_.generation()) {
        staging_.withdraw(Ground::kAsked);
    }
}

void ControllerRunner::advance_sim_time(shm::Mode mode) {
    if (mode == shm::Mode::kPaused || exchange_.sim_paused.load(std::memory_order_relaxed)) return;
    const double speed = exchange_.sim_speed.load(std::memory_order_relaxed);
    setpoint_.sim_time_ns += std::llround(static_cast<double>(config_.controller_period_ns()) * speed);
}

void ControllerRunner::run(const StateSnapshot& snapshot, std::int64_t now_ns) {
    const wasm::TickInput input{readable_.of(snapshot, exchange_.inputs.latest(), now_ns, exchange_.counters),
                                setpoint_.sim_time_ns};
    const std::int64_t started_ns = clock_();
    if (run_active(input, now_ns) && staging_.under_way()) run_candidate(input, started_ns, now_ns);
}

bool ControllerRunner::run_active(const wasm::TickInput& input, std::int64_t now_ns) {
    output_ = {};
    const std::int64_t started_ns = clock_();
    const auto result = active_->controller->tick(static_cast<std::int64_t>(setpoint_.tick), input, output_);
    record(durations_, clock_() - started_ns);
    exchange_.counters.add(Counter::kControllerTicks);
    count_output();
    const ControllerFault found = judge(result);
    if (found == ControllerFault::kNone) {
        take_output(now_ns);
    } else {
        fault(found, now_ns);
    }
    return found == ControllerFault::kNone;
}

// Rule 7 for both together. A shadow never delays the setpoint: it is on its way before.
void ControllerRunner::run_candidate(wasm::TickInput input, std::int64_t started_ns, std::int64_t now_ns) {
    if (staging_.in_shadow()) publish_setpoint();
    input.left_ns = std::max<std::int64_t>(config_.tick_budget_ns() - (clock_() - started_ns), 0);
    if (LoadedController* passed = staging_.tick(input, setpoint_)) promote(passed);
    if (staging_.stopped_the_robot()) fault(ControllerFault::kEstopRequest, now_ns);
}

// What it did before it trapped or was interrupted counts first: NaN and a request for an e-stop latch.
ControllerFault ControllerRunner::judge(wasm::TickResult result) {
    const bool trapped = result == wasm::TickResult::kTrap;
    if (trapped) exchange_.counters.add(Counter::kControllerTraps);
    const bool late = !trapped && too_late(result);
    if (output_.not_finite_count > 0) return ControllerFault::kNotFinite;
    if (output_.estop_requested) return ControllerFault::kEstopRequest;
    if (trapped) return ControllerFault::kTrap;
    return late ? ControllerFault::kOverrun : ControllerFault::kNone;
}

// Rule 7. What was interrupted has no output. What came back late by the clock may have been held up by the
// machine: its output is whole, so it is counted, and N in M ticks are too many.
bool ControllerRunner::too_late(wasm::TickResult result) {
    if (result == wasm::TickResult::kOk) return false;
    exchange_.counters.add(Counter::kControllerOverruns);
    return result == wasm::TickResult::kDeadline || ladder_.overrun(setpoint_.tick);
}

void ControllerRunner::take_output(std::int64_t now_ns) {
    setpoint_.mono_ns = now_ns;
    setpoint_.set = output_.set;
    setpoint_.value = output_.value;
    ++setpoint_.tick;
}

void ControllerRunner::count_output() {
    Counters& counters = exchange_.counters;
    counters.add(Counter::kCommandNotFinite, output_.not_finite_count);
    counters.add(Counter::kCommandClamped, output_.clamped_count);
    counters.add(Counter::kCommandNoChannel, output_.no_channel_count);
    std::uint64_t dropped = output_.metrics_dropped;
    for (std::uint32_t i = 0; i < output_.metric_count; ++i)
        dropped += exchange_.metrics.push(output_.metrics[i]) ? 0 : 1;
    counters.add(Counter::kMetricsDropped, dropped);
}

void ControllerRunner::fault(ControllerFault found, std::int64_t now_ns) {
    setpoint_.state = ControllerState::kFaulted;
    setpoint_.fault = found;
    setpoint_.set = 0;
    exchange_.controller_events.push({EventKind::kControllerFault, output_.not_finite_channel,
                                      setpoint_.generation << 8 | static_cast<std::uint64_t>(found), now_ns});
}

void ControllerRunner::publish_setpoint() {
    exchange_.setpoint.writable() = setpoint_;
    exchange_.setpoint.publish();
}

void ControllerRunner::publish_lifecycle() {
    Lifecycle& lifecycle = exchange_.lifecycle.writable();
    staging_.report(lifecycle);
    lifecycle.active = setpoint_.generation;
    lifecycle.watched = setpoint_.tick - activation_tick_;
    lifecycle.fault = setpoint_.fault;
    lifecycle.proved = active_ != nullptr && setpoint_.fault == ControllerFault::kNone &&
                       lifecycle.watched >= config_.control.watch_ticks;
    exchange_.lifecycle.publish();
}

}  // namespace holdfast::core
