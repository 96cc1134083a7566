#include "safety/loop.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "rt/clock.hpp"

namespace holdfast::safety {
namespace {

constexpr auto kOverruns = static_cast<std::size_t>(shm::Counter::kOverruns);
constexpr auto kSkippedCycles = static_cast<std::size_t>(shm::Counter::kSkippedCycles);

constexpr auto kDriveErrors = static_cast<std::size_t>(shm::Counter::kDriveErrors);

std::uint32_t rise(std::uint64_t before, std::uint64_t now) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(now < before ? 0 : std::min(now - before, kMost));
}

Reading reading_of(std::int32_t value) { return {value != kNotKnown, value}; }

bool moves(shm::Mode mode) { return shm::is_armed(mode) || mode == shm::Mode::kStopping; }

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
            .resets = mailbox_.resets.load(std::memory_order_acquire),
            .lost_stop = mailbox_.lost_stop.load(std::memory_order_acquire),
            .health_samples = mailbox_.health_samples.load(std::memory_order_acquire)};
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
    inputs.record_behind =
        mailbox_.recorded.load(std::memory_order_acquire) != LatchWord(state_.latch_sequence, state_.cause);
    if (seen.lost_stop != seen_.lost_stop) inputs.lost_stop = seen.lost_stop;
    inputs.operator_stop = seen.operator_stops != seen_.operator_stops;
    inputs.reset = seen.resets != seen_.resets;
    if (config_.estop_lines) inputs.estop = outside_.lines.read_estop();
    inputs.enable_line_failed = enable_failed_;
    inputs.drive_fault = frames_.drive_fault();
    observe_core_counters(inputs);
    observe_health(inputs, seen);
    return inputs;
}

void Loop::observe_health(Inputs& inputs, const Seen& seen) const {
    inputs.health = {.is_new = seen.health_samples != seen_.health_samples,
                     .temperature = reading_of(mailbox_.temperature.load(std::memory_order_acquire)),
                     .memory_pressure = reading_of(mailbox_.memory_pressure.load(std::memory_order_acquire))};
}

// The counters of a core that has just come are its past, and not to be compared with another's.
void Loop::observe_core_counters(Inputs& inputs) {
    const CoreCounters before = core_counters_;
    core_counters_ = {core_.boot_id, core_.counters[kOverruns], core_.counters[kDriveErrors]};
    if (before.boot_id != core_counters_.boot_id) return;
    inputs.core_overruns = rise(before.overruns, core_counters_.overruns);
    inputs.drive_fault = inputs.drive_fault || rise(before.drive_errors, core_counters_.drive_errors) > 0;
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

// The third path of rule 4. It is told each period while it pulses or does not obey, else when it changes.
void Loop::set_enable(bool enable) {
    if (!config_.enable_line) return;
    const bool level = enable && (!outside_.enable_pulses || !enable_level_);
    if (level == enable_level_ && !enable_failed_ && beat_ > 1) return;
    enable_level_ = level;
    enable_failed_ = !outside_.lines.set_enable(level);
}

// Hazard: a stop that the core does not carry out. Until it shows, by a living heartbeat, that it obeys this
// very stop, the drives get their safe frames from here.
void Loop::stop_or_follow(const Outputs& outputs, std::int64_t now_ns) {
    const double dt_s = static_cast<double>(last_ns_ == 0 ? config_.period_ns : now_ns - last_ns_) * 1e-9;
    last_ns_ = now_ns;
    frames_.listen(now_ns);
    const bool core_alive =
        state_.core.attached && state_.core.beaten && state_.core.silent_ns < config_.core_timeout_ns;
    sent_stop_frames_ =
        outputs.latch_sequence != 0 && !(core_alive && core_.estop_latch_seen == outputs.latch_sequence);
    if (sent_stop_frames_) {
        frames_.send(now_ns, dt_s);
        // Twice would be twice the answers on the bus, in the moment when the stop has to pass.
        if (!core_alive) frames_.ask_for_feedback();
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
    mailbox_.core_armed.store(inputs.core_armed, std::memory_order_release);
    mailbox_.enable.store(config_.enable_line && outputs.enable && !enable_failed_,
                          std::memory_order_release);
    mailbox_.warnings.store(outputs.warnings, std::memory_order_release);
    mailbox_.estop_readable.store(inputs.estop.readable, std::memory_order_release);
    mailbox_.estop_open.store((inputs.estop.open[0] ? 1u : 0u) | (inputs.estop.open[1] ? 2u : 0u),
                              std::memory_order_release);
    mailbox_.stop_frames_sent.store(frames_.counts().sent, std::memory_order_release);
    mailbox_.stop_frames_failed.store(frames_.counts().failed, std::memory_order_release);
    mailbox_.stop_frames_withheld.store(frames_.counts().withheld, std::memory_order_release);
    if (inputs.reset) {
        mailbox_.reset_granted.store(outputs.reset_granted, std::memory_order_release);
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

void Loop::record(const Inputs& inputs, const Outputs& outputs) {
    if (outside_.evidence == nullptr) return;
    std::uint32_t flags = 0;
    const auto set_if = [&flags](bool is, EvidenceFlag flag) { flags |= is ? bit(flag) : 0; };
    set_if(inputs.core_attached, EvidenceFlag::kCoreAttached);
    set_if(inputs.core_beat, EvidenceFlag::kCoreBeat);
    set_if(inputs.core_lost, EvidenceFlag::kCoreLost);
    set_if(inputs.core_armed, EvidenceFlag::kCoreArmed);
    set_if(inputs.worker_attached, EvidenceFlag::kWorkerAttached);
    set_if(inputs.worker_beat, EvidenceFlag::kWorkerBeat);
    set_if(inputs.worker_lost, EvidenceFlag::kWorkerLost);
    set_if(inputs.record_unreadable, EvidenceFlag::kRecordUnreadable);
    set_if(inputs.operator_stop, EvidenceFlag::kOperatorStop);
    set_if(inputs.reset, EvidenceFlag::kReset);
    set_if(!inputs.estop.readable, EvidenceFlag::kEstopUnreadable);
    set_if(inputs.estop.open[0], EvidenceFlag::kEstopOpen1);
    set_if(inputs.estop.open[1], EvidenceFlag::kEstopOpen2);
    set_if(inputs.enable_line_failed, EvidenceFlag::kEnableLineFailed);
    set_if(inputs.drive_fault, EvidenceFlag::kDriveFault);
    set_if(inputs.health.is_new, EvidenceFlag::kHealthSample);
    set_if(outputs.arm_permitted, EvidenceFlag::kArmPermitted);
    set_if(outputs.enable, EvidenceFlag::kEnable);
    set_if(sent_stop_frames_, EvidenceFlag::kStopFrames);
    set_if(outputs.newly_latched, EvidenceFlag::kStopTaken);
    entry_.mono_ns = inputs.now_ns;
    entry_.work_ns = work_ns_;
    entry_.latch_sequence = outputs.latch_sequence;
    entry_.cause = static_cast<std::uint32_t>(outputs.cause);
    entry_.standing = static_cast<std::uint32_t>(outputs.standing);
    entry_.warnings = outputs.warnings;
    entry_.flags = flags;
    entry_.temperature = mailbox_.temperature.load(std::memory_order_acquire);
    entry_.memory_pressure = mailbox_.memory_pressure.load(std::memory_order_acquire);
    record_core();
    outside_.evidence->push(entry_);
}

void Loop::record_core() {
    entry_.core_cycle = core_.cycle;
    entry_.core_mono_ns = core_.mono_ns;
    entry_.core_wake_latency_ns = core_.wake_latency_ns;
    entry_.core_cycle_time_ns = core_.cycle_time_ns;
    entry_.core_mode = static_cast<std::uint32_t>(core_.mode);
    entry_.controller_fault = static_cast<std::uint32_t>(core_.controller_fault);
    entry_.core_overruns = core_.counters[kOverruns];
    entry_.core_skipped_cycles = core_.counters[kSkippedCycles];
    entry_.core_latch_seen = core_.estop_latch_seen;
    entry_.state = core_.state;
    entry_.state_mono_ns = core_.state_mono_ns;
    entry_.requested = core_.requested;
    entry_.sent = core_.sent;
}

void Loop::cycle(std::int64_t now_ns) {
    const std::int64_t begin_ns = monotonic_ns();
    Seen seen{};
    const Inputs inputs = observe(now_ns, seen);
    const Outputs outputs = step(config_, state_, inputs);
    publish(outputs, now_ns);
    set_enable(outputs.enable);
    stop_or_follow(outputs, now_ns);
    record(inputs, outputs);
    report(inputs, outputs, seen);
    seen_ = seen;
    work_ns_ = monotonic_ns() - begin_ns;
}

}  // namespace holdfast::safety
