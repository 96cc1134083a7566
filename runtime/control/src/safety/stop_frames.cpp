#include "safety/stop_frames.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <vector>

namespace holdfast::safety {
namespace {

// Frames taken from one link in one period; the rest waits for the next. A dead link costs no more than this.
constexpr int kMaxFramesPerPeriod = 64;
// Two samples further apart than this give no rate.
constexpr double kMaxRateIntervalS = 0.1;

bool is_fresh(std::int64_t sample_ns, std::int64_t now_ns, std::int64_t max_age_ns) {
    return sample_ns != 0 && now_ns - sample_ns <= max_age_ns;
}

}  // namespace

Expected<StopFrames> StopFrames::open(const RobotConfig& config, const std::filesystem::path& run_directory) {
    StopFrames frames(config);
    std::map<std::string, std::size_t> opened;
    std::map<std::size_t, std::vector<std::uint32_t>> reports;
    for (std::size_t i = 0; i < config.drives.size(); ++i) {
        const std::string& url = config.drives[i].link;
        const auto [known, is_new] = opened.try_emplace(url, frames.ports_.size());
        frames.port_of_drive_[i] = known->second;
        if (is_new) {
            auto link = open_link(url, "safety", run_directory);
            if (!link) return tl::unexpected(link.error());
            frames.ports_.push_back({std::move(*link), Arrival(config.tier1_period_ns()), std::nullopt});
        }
        const Drive& drive = config.drives[i];
        frames.profiles_.push_back(make_drive_profile(drive, config.commands[drive.command].kind));
        auto& sync = frames.ports_[known->second].sync;
        if (!sync) sync = frames.profiles_.back()->sync();
        std::ranges::copy(frames.profiles_.back()->reports(), std::back_inserter(reports[known->second]));
    }
    for (std::size_t port = 0; port < frames.ports_.size(); ++port) {
        if (const auto chosen = frames.ports_[port].link->listen(reports[port]); !chosen)
            return tl::unexpected(chosen.error());
    }
    return frames;
}

void StopFrames::listen(std::int64_t now_ns) {
    CanFrame frame;
    // What the filter takes for a pause, and nothing shorter: a machine that skips periods all the time would
    // wait for ever.
    if (now_ns - listened_ns_ >= kMaxStepNs) listening_since_ns_ = now_ns;
    listened_ns_ = now_ns;
    for (std::size_t p = 0; p < ports_.size(); ++p) {
        Port& port = ports_[p];
        const std::int64_t arrived_ns = port.arrival.earliest(now_ns);
        for (int i = 0; i < kMaxFramesPerPeriod; ++i) {
            const LinkResult result = port.link->receive(frame);
            if (result == LinkResult::kEmpty) {
                port.arrival.emptied(now_ns);
                break;
            }
            if (result == LinkResult::kError) continue;
            for (std::size_t drive = 0; drive < config_->drives.size(); ++drive) {
                if (port_of_drive_[drive] == p) take(drive, frame, arrived_ns);
            }
        }
    }
}

void StopFrames::take(std::size_t drive, const CanFrame& frame, std::int64_t arrived_ns) {
    const auto sample = profiles_[drive]->decode(frame);
    if (!sample) return;
    if (sample->axis_error) axis_error_[drive] = *sample->axis_error;
    Measured& measured = measured_[drive];
    if (sample->position) {
        measured.position = *sample->position;
        measured.position_ns = arrived_ns;
    }
    if (sample->velocity) {
        measured.velocity = *sample->velocity;
        measured.velocity_ns = arrived_ns;
    }
}

bool StopFrames::drive_fault() const {
    return std::any_of(axis_error_.begin(), axis_error_.end(),
                       [](std::uint32_t error) { return error != 0; });
}

void StopFrames::follow(const shm::StateData& core) {
    if (core.cycle == 0 || core.mono_ns == core_.mono_ns) return;
    const double dt_s = core_.cycle == 0 ? 0.0 : static_cast<double>(core.mono_ns - core_.mono_ns) * 1e-9;
    for (std::size_t i = 0; i < config_->commands.size(); ++i) follow_channel(i, core, dt_s);
    core_ = core;
}

// Hazard: a channel of which the core never had a measurement shows 0 as sent; holding that would be a move
// to the origin. It stays not started.
void StopFrames::follow_channel(std::size_t index, const shm::StateData& core, double dt_s) {
    const CommandChannel& channel = config_->commands[index];
    const bool measured = !channel.position_state || core.state_mono_ns[*channel.position_state] != 0;
    if (!std::isfinite(core.sent[index]) || (channel.kind == ChannelKind::kPosition && !measured)) return;
    const bool known = history_[index].started && dt_s > 0.0 && dt_s < kMaxRateIntervalS;
    ChannelHistory last = history_[index];
    last.sent = core_.sent[index];
    history_[index] = followed(channel, last, core.sent[index], known ? dt_s : 0.0);
}

ChannelContext StopFrames::context(std::size_t drive, std::int64_t now_ns) const {
    const CommandChannel& channel = config_->commands[config_->drives[drive].command];
    ChannelContext context{.velocity = velocity(drive, now_ns)};
    if (!channel.position_state) return context;
    const StateChannel& state = config_->states[*channel.position_state];
    const Measured& own = measured_[state.drive];
    if (is_fresh(own.position_ns, now_ns, state.max_age_ns)) {
        context.position = own.position;
        context.position_fresh = true;
        return context;
    }
    context.position = core_.state[*channel.position_state];
    context.position_fresh = is_fresh(core_.state_mono_ns[*channel.position_state], now_ns, state.max_age_ns);
    return context;
}

// Without a core to follow, a turning spindle is slowed down from the speed it has.
AxisVelocity StopFrames::velocity(std::size_t drive, std::int64_t now_ns) const {
    const Measured& own = measured_[drive];
    if (is_fresh(own.velocity_ns, now_ns, kVelocityAgeNs)) return {.measured = own.velocity};
    // Who has never told will not, on a line that only the core hears: what was sent is all that is known.
    const ChannelHistory& history = history_[config_->drives[drive].command];
    if (own.velocity_ns == 0 && (history.started || history.paused)) return {.measured = history.sent};
    return {.awaited = now_ns - listening_since_ns_ < kVelocityAgeNs};
}

void StopFrames::send(std::int64_t now_ns, double dt_s) {
    for (std::size_t i = 0; i < config_->drives.size(); ++i) {
        const Drive& drive = config_->drives[i];
        const CommandChannel& channel = config_->commands[drive.command];
        ChannelHistory& history = history_[drive.command];
        const double value = safe_command(channel, context(i, now_ns), dt_s, history);
        // A position that nobody knows, or a velocity that may be known in a moment: the drive keeps the last
        // target it has.
        if (!history.started) {
            ++counts_.withheld;
            continue;
        }
        send_to(i, value);
    }
}

void StopFrames::ask_for_feedback() {
    for (const Port& port : ports_) {
        if (port.sync && port.link->send(*port.sync) != LinkResult::kOk) ++counts_.failed;
    }
}

void StopFrames::send_to(std::size_t drive, double value) {
    for (const CanFrame& frame : profiles_[drive]->command(value)) {
        ++(ports_[port_of_drive_[drive]].link->send(frame) == LinkResult::kOk ? counts_.sent
                                                                              : counts_.failed);
    }
}

}  // namespace holdfast::safety
