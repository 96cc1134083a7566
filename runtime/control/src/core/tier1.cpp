#include "core/tier1.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/histogram.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;
using shm::Mode;

constexpr std::int64_t kEpochNs = 1'000'000;
constexpr std::uint64_t kEnableRepeatCycles = 100;  // a lost enable frame is sent again
static_assert(kEnableRepeatCycles >= kMaxDrives);
constexpr double kStandstill = 1e-6;          // of what is sent: below it, it is rounding
constexpr double kMeasuredStandstill = 0.01;  // of the largest velocity of the channel

template <typename Enum>
constexpr std::uint32_t bit(Enum value) {
    return static_cast<std::uint32_t>(value);
}

// A velocity that is not known yet may be any.
bool sends_motion(const CommandChannel& channel, const ChannelHistory& history) {
    if (!history.started) return channel.kind == ChannelKind::kVelocity;
    const double rate = channel.kind == ChannelKind::kPosition ? history.velocity : history.sent;
    return std::abs(rate) > kStandstill;
}

}  // namespace

Tier1::Tier1(const RobotConfig& config, DriveBus bus, shm::Writer<shm::StateSegment>& segment,
             Exchange& exchange, wasm::Engine& engine, std::uint64_t boot_id, RealtimeGrade grade,
             Clock clock)
    : config_(config),
      bus_(std::move(bus)),
      segment_(segment),
      exchange_(exchange),
      engine_(engine),
      grade_(grade),
      clock_(clock),
      safety_(config.control.safety_silent_cycles),
      estimation_(config, imu_states(config)),
      phases_(clock),
      execution_(config, exchange),
      ladder_(config.control.overrun_limit, config.control.overrun_window),
      shield_(config) {
    data_.boot_id = boot_id;
    data_.realtime_degraded = grade.degraded ? 1 : 0;
}

void Tier1::cycle(const Wake& wake) {
    begin(wake);
    phases_.begin(now_ns_);
    shm::StateSegment& times = segment_.segment();
    bus_.receive(now_ns_, exchange_.counters);
    watch_drive_errors();
    phases_.end(times.read);
    estimation_.update(bus_, now_ns_, dt_s_, exchange_.counters);
    phases_.end(times.estimate);
    safety_.read(exchange_.safety.load(std::memory_order_acquire), exchange_.counters);
    const Setpoint& setpoint = exchange_.setpoint.latest();
    decide(setpoint);
    publish_snapshot();
    filter_commands(setpoint);
    phases_.end(times.shield);
    send_commands();
    send_drive_requests();
    phases_.end(times.write);
    update_motion();
    publish(setpoint);
    record(times.wake, wake.woke_ns - wake.scheduled_ns);
    data_.cycle_time_ns = clock_() - wake.woke_ns;
    record(times.cycle, data_.cycle_time_ns);
    exchange_.cycles.store(data_.cycle, std::memory_order_release);
}

void Tier1::begin(const Wake& wake) {
    now_ns_ = wake.woke_ns;
    data_.wake_latency_ns = wake.woke_ns - wake.scheduled_ns;
    const std::int64_t elapsed_ns = last_ns_ == 0 ? config_.tier1_period_ns() : now_ns_ - last_ns_;
    dt_s_ = static_cast<double>(elapsed_ns) * 1e-9;
    last_ns_ = now_ns_;
    ++data_.cycle;
    period_ += 1 + wake.skipped;
    requests_ = exchange_.requests.exchange(0, std::memory_order_acquire);
    seen_.overrun = wake.skipped > 0;
    seen_.too_many_overruns = false;
    if (seen_.overrun) {
        exchange_.counters.add(Counter::kOverruns);
        exchange_.counters.add(Counter::kSkippedCycles, wake.skipped);
        seen_.too_many_overruns = ladder_.overrun(period_);
    }
    advance_epoch();
}

// One epoch a millisecond of cycles that ran: when the whole machine stalls, the controller's budget stalls
// too.
void Tier1::advance_epoch() {
    epoch_ns_ += config_.tier1_period_ns();
    for (; epoch_ns_ >= kEpochNs; epoch_ns_ -= kEpochNs) engine_.increment_epoch();
}

void Tier1::watch_drive_errors() {
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        const std::uint32_t error = bus_.axis_error(d);
        if (error != 0 && error != last_axis_error_[d]) {
            exchange_.counters.add(Counter::kDriveErrors);
            note(EventKind::kDriveError, error, static_cast<std::int32_t>(d));
        }
        last_axis_error_[d] = error;
    }
    watch_drive_heartbeats();
    stale_states_ = 0;
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        if (bus_.fresh(s, now_ns_)) continue;
        stale_states_ |= std::uint64_t{1} << s;
        exchange_.counters.add(Counter::kStateStale);
    }
}

// One that was never heard is switched off or not there yet: it keeps the robot from arming, and is no event.
void Tier1::watch_drive_heartbeats() {
    std::uint32_t silent = 0;
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        if (!bus_.silent(d)) continue;
        silent |= 1u << d;
        if ((silent_drives_ >> d & 1u) != 0 || !bus_.ever_heard(d)) continue;
        exchange_.counters.add(Counter::kDriveSilences);
        note(EventKind::kDriveSilent, 0, static_cast<std::int32_t>(d));
    }
    silent_drives_ = silent;
}

void Tier1::observe() {
    seen_.now_ns = now_ns_;
    seen_.requests = requests_;
    seen_.latch = safety_.latch();
    seen_.safety_silent = safety_.silent();
    seen_.arm_permitted = safety_.arm_permitted();
    seen_.realtime_refused = grade_.refused;
    seen_.drive_errors = seen_.drives_enabled = 0;
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        seen_.drive_errors |= bus_.axis_error(d) != 0 ? 1u << d : 0;
        seen_.drives_enabled |= bus_.axis_state(d) == kDriveEnabled ? 1u << d : 0;
    }
    seen_.drives_silent = silent_drives_;
    seen_.stale_states = stale_states_;
    seen_.untrusted_joints = estimation_.untrusted();
}

void Tier1::decide(const Setpoint& setpoint) {
    observe();
    execution_.decide(seen_, setpoint);
    data_.mode = execution_.state();
    if (execution_.stop_just_seen()) data_.estop_flag_seen_ns = now_ns_;
    if (execution_.stop_just_cleared()) data_.estop_latch_seen = 0;
    if (execution_.just_armed()) begin_armed();
}

void Tier1::begin_armed() {
    armed_cycles_ = 0;
    // A drive that is enabled starts from where it is, not from where it was sent last.
    shield_.forget_positions();
    bus_.forget_axis_states();
}

void Tier1::publish_snapshot() {
    StateSnapshot& snapshot = exchange_.snapshot.writable();
    snapshot.mono_ns = now_ns_;
    snapshot.run = calls_controller(data_.mode);
    snapshot.mode = data_.mode;
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        snapshot.state[s] =
            bus_.fresh(s, now_ns_) ? bus_.sample(s).value : std::numeric_limits<double>::quiet_NaN();
    }
    exchange_.snapshot.publish();
}

void Tier1::filter_commands(const Setpoint& setpoint) {
    const bool follow = execution_.follows(setpoint);
    show_samples();
    for (std::size_t d = 0; d < config_.drives.size(); ++d) forget_idle_channel(d);
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        const bool set = (setpoint.set >> c & 1u) != 0;
        const bool holds = !set && config_.commands[c].kind == ChannelKind::kPosition;
        data_.requested[c] = !follow || holds ? shield_.history(c).sent
                             : set            ? setpoint.value[c]
                                              : config_.commands[c].default_value;
    }
    const ShieldInput input{.wish = setpoint.value,
                            .set = setpoint.set,
                            .state = samples_,
                            .velocity = velocities_,
                            .follow = follow};
    std::ranges::copy(shield_.filter(input, dt_s_), data_.sent.begin());
}

// Rule 6: a position whose estimate has failed is as good as none.
void Tier1::show_samples() {
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        const bool received = bus_.sample(s).mono_ns != 0;
        samples_[s] = {received ? bus_.sample(s).value : std::numeric_limits<double>::quiet_NaN(),
                       bus_.fresh(s, now_ns_)};
    }
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        const auto& position = config_.commands[c].position_state;
        if (position && (!estimation_.trusted(c) || !bus_.heard_since_pause(*position)))
            samples_[*position].fresh = false;
    }
    for (std::size_t d = 0; d < config_.drives.size(); ++d)
        velocities_[config_.drives[d].command] = bus_.velocity(d, now_ns_);
}

// Rule 1: a complete frame to every drive, in every mode.
void Tier1::send_commands() {
    if (!shm::is_armed(data_.mode)) bus_.cancel_enables();
    bool all_sent = true;
    bool waits = false;
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        const std::size_t c = config_.drives[d].command;
        // What is not measured has no safe value: the drive keeps what it was told last. A position channel
        // is stale, so nothing arms; a velocity is awaited for a moment, and the daemon stops it meanwhile.
        if (!shield_.has_value(c)) {
            const bool never_measured =
                config_.commands[c].kind == ChannelKind::kPosition && !shield_.history(c).paused;
            waits = waits || !never_measured;
            continue;
        }
        all_sent = bus_.send_command(d, data_.sent[c], exchange_.counters) && all_sent;
    }
    // Also of a stop that was carried out before the pause: the daemon goes on with it meanwhile.
    if (waits) data_.estop_latch_seen = 0;
    if (data_.mode == Mode::kEstop) note_stop_frames(all_sent && !waits);
}

// A drive without power follows whoever moves it: what it will hold when enabled is where it is then.
void Tier1::forget_idle_channel(std::size_t drive) {
    const std::size_t c = config_.drives[drive].command;
    if (config_.commands[c].kind != ChannelKind::kPosition) return;
    const bool idle = data_.mode == Mode::kDisarmed && bus_.axis_state(drive) == kDriveIdle;
    const auto state = config_.commands[c].position_state;
    if (idle && state && samples_[*state].fresh) shield_.forget(c);
}

// After the command frames: a drive that is enabled already has the value to hold. One drive a cycle: the
// queue of a link may hold ten frames, and a burst for every drive would be lost in it.
void Tier1::send_drive_requests() {
    if (asked(Request::kIdleDrives)) idling_ = true;
    if (shm::is_armed(data_.mode)) {
        enable_in_turn();
    } else if (idling_) {
        bus_.send_idle(data_.cycle % config_.drives.size(), exchange_.counters);
    }
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        if (asked(Request::kClearErrors) && bus_.axis_error(d) != 0)
            bus_.send_clear_errors(d, exchange_.counters);
    }
}

void Tier1::enable_in_turn() {
    const std::uint64_t turn = armed_cycles_ % kEnableRepeatCycles;
    if (turn < config_.drives.size() && bus_.axis_state(turn) != kDriveEnabled) {
        bus_.send_enable(turn, exchange_.counters);
    }
    ++armed_cycles_;
}

// The daemon sends stop frames itself until it reads here that the core's have left.
void Tier1::note_stop_frames(bool all_sent) {
    if (all_sent && data_.estop_latch_seen != execution_.seen_latch()) {
        data_.estop_latch_seen = execution_.seen_latch();
        if (latch_counted_ == execution_.seen_latch()) return;
        data_.estop_frame_sent_ns = clock_();
        data_.estop_frame_cycle = 0;
        stop_cycle_ns_ = now_ns_;
    }
    // The daemon sets the flag first and its time after it: that may be read a cycle later.
    const bool time_known = data_.estop_latch_seen == execution_.seen_latch() && safety_.latch_mono_ns() != 0;
    if (!time_known || latch_counted_ == execution_.seen_latch()) return;
    latch_counted_ = execution_.seen_latch();
    const std::int64_t waited_ns = std::max<std::int64_t>(stop_cycle_ns_ - safety_.latch_mono_ns(), 0);
    data_.estop_frame_cycle = 1 + static_cast<std::uint64_t>(waited_ns / config_.tier1_period_ns());
}

void Tier1::update_motion() {
    bool sending = false;
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        sending = sending || sends_motion(config_.commands[c], shield_.history(c));
    }
    bool measured = false;
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        const StateChannel& state = config_.states[s];
        if (state.quantity != Quantity::kVelocity || !bus_.fresh(s, now_ns_)) continue;
        const double largest = std::max(std::abs(state.limits.min), std::abs(state.limits.max));
        measured = measured || std::abs(bus_.sample(s).value) > kMeasuredStandstill * largest;
    }
    data_.moving = sending || measured ? 1 : 0;
    execution_.settle(now_ns_, !sending, measured);
    data_.mode = execution_.state();
}

void Tier1::publish(const Setpoint& setpoint) {
    data_.mono_ns = now_ns_;
    data_.sim_time_ns = setpoint.sim_time_ns;
    const bool running = calls_controller(data_.mode) && setpoint.state == shm::ControllerState::kLoaded;
    data_.controller_state = running ? shm::ControllerState::kRunning : setpoint.state;
    data_.controller_fault = setpoint.fault;
    data_.controller_tick = setpoint.tick;
    data_.controller_generation = setpoint.generation;
    data_.setpoint_mono_ns = setpoint.mono_ns;
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        data_.state[s] = bus_.sample(s).value;
        data_.state_mono_ns[s] = bus_.sample(s).mono_ns;
    }
    for (std::uint32_t c = 0; c < bit(Counter::kCount); ++c) {
        data_.counters[c] = exchange_.counters.get(static_cast<Counter>(c));
    }
    const ShieldCounts& shield = shield_.counts();
    data_.counters[bit(Counter::kShieldRateLimited)] = shield.rate_limited;
    data_.counters[bit(Counter::kShieldStoppingDistance)] = shield.stopping_distance;
    data_.counters[bit(Counter::kShieldConflict)] = shield.conflict;
    data_.counters[bit(Counter::kShieldCoupling)] = shield.coupling;
    data_.counters[bit(Counter::kShieldWorkspace)] = shield.workspace;
    data_.counters[bit(Counter::kShieldZoneSlow)] = shield.zone_slow;
    data_.counters[bit(Counter::kShieldZoneStop)] = shield.zone_stop;
    estimation_.publish(data_);
    data_.joints_untrusted = estimation_.untrusted();
    segment_.publish(data_);

    Status& status = exchange_.status.writable();
    status.blockers = execution_.blockers(seen_, setpoint);
    status.stale_states = stale_states_;
    status.untrusted_joints = estimation_.untrusted();
    status.latch_cause = safety_.cause();
    for (std::size_t d = 0; d < config_.drives.size(); ++d) status.axis_error[d] = bus_.axis_error(d);
    status.silent_drives = silent_drives_;
    exchange_.status.publish();
}

void Tier1::note(EventKind kind, std::uint64_t detail, std::int32_t index) {
    exchange_.tier1_events.push({kind, index, detail, now_ns_});
}

bool Tier1::asked(Request request) const { return (requests_ & bit(request)) != 0; }

}  // namespace holdfast::core
