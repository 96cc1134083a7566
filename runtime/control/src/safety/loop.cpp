#include "safety/loop.hpp"

#include <unistd.h>

namespace holdfast::safety {
namespace {

bool moves(shm::Mode mode) { return mode == shm::Mode::kArmed || mode == shm::Mode::kStopping; }

}  // namespace

// True if the core's heartbeat has changed. The first sample of a core is no beat: it may be an old one.
bool Loop::read_core() {
    const StateReader* reader = mailbox_.core_sample.load(std::memory_order_acquire);
    if (reader != reader_) {
        reader_ = reader;
        core_sampled_ = false;
        core_ = {};
    }
    const std::int64_t before_ns = core_.mono_ns;
    if (reader_ == nullptr || !reader_->read(core_)) return false;
    const bool first = !core_sampled_;
    core_sampled_ = true;
    return !first && core_.mono_ns != before_ns;
}

Inputs Loop::observe(std::int64_t now_ns, Seen& seen) {
    seen = {.core_losses = mailbox_.core_losses.load(std::memory_order_acquire),
            .worker_losses = mailbox_.worker_losses.load(std::memory_order_acquire),
            .worker_beats = mailbox_.worker_beats.load(std::memory_order_acquire),
            .operator_stops = mailbox_.operator_stops.load(std::memory_order_acquire),
            .resets = mailbox_.resets.load(std::memory_order_acquire)};
    Inputs inputs{};
    inputs.now_ns = now_ns;
    inputs.core_attached = mailbox_.core_attached.load(std::memory_order_acquire);
    inputs.core_beat = read_core();
    inputs.core_lost = seen.core_losses != seen_.core_losses;
    inputs.core_armed = moves(core_.mode);
    inputs.worker_attached = mailbox_.worker_attached.load(std::memory_order_acquire);
    inputs.worker_beat = seen.worker_beats != seen_.worker_beats;
    inputs.worker_lost = seen.worker_losses != seen_.worker_losses;
    inputs.controller_fault = inputs.core_attached ? core_.controller_fault : shm::ControllerFault::kNone;
    inputs.record_unreadable = mailbox_.record_unreadable.load(std::memory_order_acquire);
    inputs.operator_stop = seen.operator_stops != seen_.operator_stops;
    inputs.reset = seen.resets != seen_.resets;
    return inputs;
}

// Setting a stop, the flag goes first: Tier-1 reads it before anything else. Clearing it, the flag goes last.
void Loop::publish(const Outputs& outputs, std::int64_t now_ns) {
    auto& flag = segment_.segment().stop;
    if (outputs.latch_sequence != 0) flag.store(outputs.latch_sequence, std::memory_order_release);
    segment_.publish({.beat = ++beat_,
                      .mono_ns = now_ns,
                      .latch_sequence = outputs.latch_sequence,
                      .latch_mono_ns = state_.latch_ns,
                      .cause = outputs.cause,
                      .arm_permitted = outputs.arm_permitted ? 1u : 0u});
    if (outputs.latch_sequence == 0) flag.store(0, std::memory_order_release);
}

// Hazard: a stop that the core does not carry out. Until it shows, by a living heartbeat, that it obeys this
// very stop, the drives get their safe frames from here.
void Loop::stop_or_follow(const Outputs& outputs, std::int64_t now_ns) {
    const double dt_s = static_cast<double>(last_ns_ == 0 ? config_.period_ns : now_ns - last_ns_) * 1e-9;
    last_ns_ = now_ns;
    frames_.listen(now_ns);
    const bool core_alive =
        state_.core.attached && state_.core.beaten && state_.core.silent_ns < config_.core_timeout_ns;
    if (outputs.latch_sequence != 0 && !(core_alive && core_.estop_latch_seen == outputs.latch_sequence)) {
        frames_.send(now_ns, dt_s);
    } else {
        frames_.follow(core_);
    }
}

void Loop::report(const Inputs& inputs, const Outputs& outputs, const Seen& seen) {
    const LatchWord latch(outputs.latch_sequence, outputs.cause);
    const bool changed = !latch_published_ || mailbox_.latch.load(std::memory_order_relaxed) != latch;
    latch_published_ = true;
    mailbox_.last_sequence.store(state_.last_sequence, std::memory_order_release);
    mailbox_.latch.store(latch, std::memory_order_release);
    mailbox_.standing.store(outputs.standing, std::memory_order_release);
    mailbox_.arm_permitted.store(outputs.arm_permitted, std::memory_order_release);
    if (inputs.core_beat) mailbox_.core_beat_ns.store(inputs.now_ns, std::memory_order_release);
    if (inputs.worker_beat) mailbox_.worker_beat_ns.store(inputs.now_ns, std::memory_order_release);
    mailbox_.stop_frames_sent.store(frames_.counts().sent, std::memory_order_release);
    mailbox_.stop_frames_failed.store(frames_.counts().failed, std::memory_order_release);
    mailbox_.stop_frames_withheld.store(frames_.counts().withheld, std::memory_order_release);
    if (inputs.reset) {
        mailbox_.reset_refused_for.store(outputs.standing, std::memory_order_release);
        mailbox_.resets_decided.store(seen.resets, std::memory_order_release);
    }
    mailbox_.operator_stops_taken.store(seen.operator_stops, std::memory_order_release);
    mailbox_.periods.store(beat_, std::memory_order_release);
    if (changed) {
        const std::uint64_t one = 1;
        // Cannot block: the counter of an eventfd takes 2^64 - 2 of these.
        [[maybe_unused]] const auto written = ::write(latch_event_, &one, sizeof one);
    }
}

void Loop::cycle(std::int64_t now_ns) {
    Seen seen{};
    const Inputs inputs = observe(now_ns, seen);
    const Outputs outputs = step(config_, state_, inputs);
    publish(outputs, now_ns);
    stop_or_follow(outputs, now_ns);
    report(inputs, outputs, seen);
    seen_ = seen;
}

}  // namespace holdfast::safety
