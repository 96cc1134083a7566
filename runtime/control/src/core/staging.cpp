#include "core/staging.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;

// In a trial: a candidate that gets no time will not be tried by waiting longer.
constexpr std::uint64_t kMaxSkipped = 100;
// In a row: what it set before is as old then as any setpoint may be (rule 6).
constexpr std::uint64_t kMaxStale = 2;

}  // namespace

void Staging::begin(LoadedController* candidate) {
    withdraw(Ground::kSuperseded);
    candidate_ = candidate;
    stage_ = candidate->first_stage;
    stage_ticks_ = tick_ = skipped_ = skipped_in_trial_ = 0;
    output_ = {};
    canary_.begin();
    ladder_.clear();
}

void Staging::withdraw(Ground ground) {
    if (under_way()) end(Verdict::kWithdrawn, ground);
}

LoadedController* Staging::tick(const wasm::TickInput& input, Setpoint& setpoint) {
    stopped_the_robot_ = false;
    canary_.follow(setpoint);
    if (input.left_ns < wasm::kMinSharedNs) {
        skip();
    } else if (run(input)) {
        advance();
    }
    if (!under_way()) return nullptr;
    // Also of a tick that was skipped: what it set last, near what the active one sets now. And of the last
    // one: the drives never hear the old controller again once they have heard the new one.
    const bool heard =
        stage_ == Stage::kCanary || (stage_ == Stage::kActive && config_.control.canary_ticks > 0);
    if (heard && tick_ > 0 && skipped_ <= kMaxStale)
        exchange_.counters.add(Counter::kCanaryLimited, canary_.blend(output_, setpoint));
    if (stage_ != Stage::kActive) return nullptr;
    LoadedController* passed = candidate_;
    end(Verdict::kActivated, Ground::kNone);
    return passed;
}

bool Staging::run(const wasm::TickInput& input) {
    skipped_ = 0;
    const auto result = candidate_->controller->tick(static_cast<std::int64_t>(tick_), input, output_);
    exchange_.counters.add(Counter::kCandidateTicks);
    // The ring belongs to the active one.
    exchange_.counters.add(Counter::kMetricsDropped, output_.metric_count + output_.metrics_dropped);
    const Ground ground = judge(result);
    stopped_the_robot_ = output_.estop_requested && stage_ == Stage::kCanary;
    if (ground != Ground::kNone) reject(ground);
    return ground == Ground::kNone;
}

// A request for an e-stop outweighs what became of the tick that made it. After that the order is that of
// wasm::output_problem, which puts the same into words.
Ground Staging::judge(wasm::TickResult result) {
    if (output_.estop_requested) return Ground::kEstopRequest;
    if (result == wasm::TickResult::kTrap) return Ground::kTrap;
    if (result == wasm::TickResult::kDeadline) return Ground::kOverrun;
    // Late by the clock alone: the machine may have held it up.
    if (result == wasm::TickResult::kLate && ladder_.overrun(tick_)) return Ground::kOverrun;
    if (output_.not_finite_count > 0) return Ground::kNotFinite;
    if (output_.no_channel_count > 0) return Ground::kNoChannel;
    if (output_.clamped_count > 0) return Ground::kOutsideLimits;
    return Ground::kNone;
}

void Staging::skip() {
    exchange_.counters.add(Counter::kCandidateTicksSkipped);
    ++skipped_;
    if (++skipped_in_trial_ > kMaxSkipped) reject(Ground::kStarved);
}

void Staging::advance() {
    ++tick_;
    ++stage_ticks_;
    if (stage_ == Stage::kShadow && stage_ticks_ >= config_.control.shadow_ticks) {
        stage_ = config_.control.canary_ticks > 0 ? Stage::kCanary : Stage::kActive;
        stage_ticks_ = 0;
    } else if (stage_ == Stage::kCanary && stage_ticks_ >= config_.control.canary_ticks) {
        stage_ = Stage::kActive;
    }
}

void Staging::reject(Ground ground) {
    exchange_.counters.add(Counter::kCandidatesRejected);
    end(Verdict::kRejected, ground);
}

void Staging::end(Verdict verdict, Ground ground) {
    outcome_ = {.generation = generation(),
                .verdict = verdict,
                .ground = ground,
                .stage = stage_,
                .tick = static_cast<std::int64_t>(tick_),
                .output = output_};
    candidate_ = nullptr;
}

void Staging::report(Lifecycle& lifecycle) const {
    lifecycle.candidate = generation();
    lifecycle.stage = stage_;
    lifecycle.stage_ticks = stage_ticks_;
    lifecycle.outcome = outcome_;
}

}  // namespace holdfast::core
