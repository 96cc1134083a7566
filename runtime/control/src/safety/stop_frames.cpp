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
// More than any link's queue holds; without a limit a bus that is flooded would keep this daemon from
// starting.
constexpr int kMaxQueuedFrames = 10'000;
// A velocity channel has no age limit of its own to judge a measured velocity by.
constexpr std::int64_t kMaxVelocityAgeNs = 20'000'000;
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
        const auto [known, is_new] = opened.try_emplace(url, frames.links_.size());
        frames.link_of_drive_[i] = known->second;
        if (is_new) {
            auto link = open_link(url, "safety", run_directory);
            if (!link) return tl::unexpected(link.error());
            frames.links_.push_back(std::move(*link));
            frames.syncs_.emplace_back();
        }
        const Drive& drive = config.drives[i];
        frames.profiles_.push_back(make_drive_profile(drive, config.commands[drive.command].kind));
        auto& sync = frames.syncs_[known->second];
        if (!sync) sync = frames.profiles_.back()->sync();
        std::ranges::copy(frames.profiles_.back()->reports(), std::back_inserter(reports[known->second]));
    }
    for (std::size_t link = 0; link < frames.links_.size(); ++link) {
        if (const auto chosen = frames.links_[link]->listen(reports[link]); !chosen)
            return tl::unexpected(chosen.error());
    }
    return frames;
}

// Hazard: reports that waited in a queue look as if they were measured when they are taken out of it.
void StopFrames::discard_received() {
    CanFrame frame;
    for (const auto& link : links_) {
        for (int i = 0; i < kMaxQueuedFrames && link->receive(frame) != LinkResult::kEmpty; ++i) {
        }
    }
}

void StopFrames::listen(std::int64_t now_ns) {
    CanFrame frame;
    for (std::size_t link = 0; link < links_.size(); ++link) {
        for (int i = 0; i < kMaxFramesPerPeriod; ++i) {
            const LinkResult result = links_[link]->receive(frame);
            if (result == LinkResult::kEmpty) break;
            if (result == LinkResult::kError) continue;
            for (std::size_t drive = 0; drive < config_->drives.size(); ++drive) {
                if (link_of_drive_[drive] == link) take(drive, frame, now_ns);
            }
        }
    }
}

void StopFrames::take(std::size_t drive, const CanFrame& frame, std::int64_t now_ns) {
    const auto sample = profiles_[drive]->decode(frame);
    if (!sample) return;
    if (sample->axis_error) axis_error_[drive] = *sample->axis_error;
    Measured& measured = measured_[drive];
    if (sample->position) {
        measured.position = *sample->position;
        measured.position_ns = now_ns;
    }
    if (sample->velocity) {
        measured.velocity = *sample->velocity;
        measured.velocity_ns = now_ns;
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

// Without a core to follow, a turning spindle is slowed down from the speed it has.
void StopFrames::start_from_measurement(std::size_t drive, std::int64_t now_ns) {
    const std::size_t index = config_->drives[drive].command;
    const CommandChannel& channel = config_->commands[index];
    if (history_[index].started || channel.kind != ChannelKind::kVelocity) return;
    if (!is_fresh(measured_[drive].velocity_ns, now_ns, kMaxVelocityAgeNs)) return;
    const double velocity = std::clamp(measured_[drive].velocity, channel.limits.min, channel.limits.max);
    history_[index] = {.sent = velocity, .started = true};
}

ChannelContext StopFrames::context(const CommandChannel& channel, std::int64_t now_ns) const {
    if (!channel.position_state) return {};
    const StateChannel& state = config_->states[*channel.position_state];
    const Measured& own = measured_[state.drive];
    if (is_fresh(own.position_ns, now_ns, state.max_age_ns)) return {own.position, true};
    const std::int64_t core_ns = core_.state_mono_ns[*channel.position_state];
    return {core_.state[*channel.position_state], is_fresh(core_ns, now_ns, state.max_age_ns)};
}

void StopFrames::send(std::int64_t now_ns, double dt_s) {
    for (std::size_t i = 0; i < config_->drives.size(); ++i) {
        const Drive& drive = config_->drives[i];
        const CommandChannel& channel = config_->commands[drive.command];
        ChannelHistory& history = history_[drive.command];
        start_from_measurement(i, now_ns);
        const double value = safe_command(channel, context(channel, now_ns), dt_s, history);
        if (!history.started) {  // a position nobody knows: the drive keeps the last target it has
            ++counts_.withheld;
            continue;
        }
        send_to(i, value);
    }
}

void StopFrames::ask_for_feedback() {
    for (std::size_t link = 0; link < links_.size(); ++link) {
        const auto& sync = syncs_[link];
        if (sync && links_[link]->send(*sync) != LinkResult::kOk) ++counts_.failed;
    }
}

void StopFrames::send_to(std::size_t drive, double value) {
    for (const CanFrame& frame : profiles_[drive]->command(value)) {
        ++(links_[link_of_drive_[drive]]->send(frame) == LinkResult::kOk ? counts_.sent : counts_.failed);
    }
}

}  // namespace holdfast::safety
