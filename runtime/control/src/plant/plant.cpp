#include "plant/plant.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "rt/clock.hpp"

namespace holdfast::plant {
namespace {

constexpr double kPeriodS = 1e-3;
constexpr std::uint64_t kHeartbeatPeriods = 100;
// A longer pause of this process is no motion of the joints.
constexpr std::uint64_t kMaxPeriodsAtOnce = 100;
// Frames taken from one link before the clock is looked at again.
constexpr int kMaxFramesAtOnce = 256;
// A reply has 64 KiB, and a name up to 64 letters.
constexpr std::size_t kMaxFramesTold = 500;

const char* name_of(cansimple::AxisState state) {
    return state == cansimple::AxisState::kClosedLoop ? "closed_loop" : "idle";
}

const char* name_of(cansimple::ControlMode mode) {
    switch (mode) {
        case cansimple::ControlMode::kPosition:
            return "position";
        case cansimple::ControlMode::kVelocity:
            return "velocity";
        case cansimple::ControlMode::kTorque:
            break;
    }
    return "torque";
}

}  // namespace

Plant::Plant(const RobotConfig& config, std::optional<std::uint64_t> seed,
             std::unique_ptr<Recording> recording)
    : config_(&config), recording_(std::move(recording)), records_(config.drives.size()) {
    if (seed) noise_.emplace(*seed);
    for (std::size_t i = 0; i < config.drives.size(); ++i) axes_.emplace_back(config, i);
}

Expected<std::unique_ptr<Plant>> Plant::open(const RobotConfig& config,
                                             const std::filesystem::path& run_directory,
                                             std::optional<std::uint64_t> seed,
                                             std::unique_ptr<Recording> recording) {
    std::unique_ptr<Plant> plant(new Plant(config, seed, std::move(recording)));
    for (std::size_t i = 0; i < config.drives.size(); ++i) {
        const std::string& url = config.drives[i].link;
        const auto known = std::find(plant->link_urls_.begin(), plant->link_urls_.end(), url);
        plant->link_of_drive_[i] = static_cast<std::size_t>(known - plant->link_urls_.begin());
        if (known != plant->link_urls_.end()) continue;
        auto link = open_drive_side(url, run_directory);
        if (!link) return tl::unexpected(link.error());
        plant->links_.push_back(std::move(*link));
        plant->link_urls_.push_back(url);
    }
    return plant;
}

void Plant::receive_until(std::int64_t until_ns) {
    std::vector<pollfd> waiting;
    waiting.reserve(links_.size());
    for (const auto& link : links_) waiting.push_back({link->fd(), POLLIN, 0});
    for (std::int64_t now_ns = monotonic_ns(); now_ns < until_ns; now_ns = monotonic_ns()) {
        const std::int64_t left_ns = until_ns - now_ns;
        const timespec patience{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
        if (::ppoll(waiting.data(), waiting.size(), &patience, nullptr) <= 0) continue;
        for (std::size_t i = 0; i < links_.size(); ++i) {
            if (waiting[i].revents != 0) drain(i);
        }
    }
}

void Plant::drain(std::size_t link) {
    CanFrame frame;
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < kMaxFramesAtOnce; ++i) {
        const LinkResult result = links_[link]->receive(frame);
        if (result == LinkResult::kEmpty) return;
        if (result == LinkResult::kError) {
            ++link_receive_errors_;
        } else {
            take(link, frame);
        }
    }
}

void Plant::take(std::size_t link, const CanFrame& frame) {
    const std::int64_t now_ns = monotonic_ns();
    for (std::size_t i = 0; i < axes_.size(); ++i) {
        const Drive& drive = config_->drives[i];
        if (link_of_drive_[i] != link || drive.node != cansimple::node_of(frame)) continue;
        const auto received = axes_[i].receive(frame);
        ++records_[i].frames;
        records_[i].last_frame_mono_ns = now_ns;
        if (!received) ++records_[i].refused;
        arrived_.add({now_ns, static_cast<std::uint32_t>(i),
                      static_cast<std::uint32_t>(cansimple::command_of(frame)),
                      received ? received->value : std::nullopt});
        if (!recording_) return;
        const std::string_view sender = links_[link]->sender();
        recording_->add({.mono_ns = now_ns,
                         .node = drive.node,
                         .command = static_cast<std::uint32_t>(cansimple::command_of(frame)),
                         .value = received ? received->value : std::nullopt,
                         .from = std::string(sender.empty() ? link_urls_[link] : sender)});
        return;
    }
}

void Plant::step(std::uint64_t periods) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t before = periods_;
    periods_ += periods;
    for (std::size_t i = 0; i < axes_.size(); ++i) {
        // Real drives beat at their own times too. All at once they would overflow a Unix socket, which holds
        // ten frames.
        const std::uint64_t begin = before + i;
        const std::uint64_t end = periods_ + i;
        const bool heartbeat_due = before == 0 || begin / kHeartbeatPeriods != end / kHeartbeatPeriods;
        for (std::uint64_t k = 0; k < std::min(periods, kMaxPeriodsAtOnce); ++k) axes_[i].step(kPeriodS);
        report(i, heartbeat_due);
    }
}

void Plant::report(std::size_t drive, bool heartbeat_due) {
    std::array<CanFrame, Axis::kMaxFeedbackFrames> frames;
    const std::size_t count = axes_[drive].feedback(heartbeat_due, noise_ ? &*noise_ : nullptr, frames);
    for (std::size_t i = 0; i < count; ++i) {
        if (links_[link_of_drive_[drive]]->send(frames[i]) != LinkResult::kOk) ++link_send_errors_;
    }
}

nlohmann::json Plant::frames(std::int64_t since_ns, std::int64_t until_ns) const {
    std::vector<ArrivedFrame> found;
    {
        const std::lock_guard lock(mutex_);
        found = arrived_.between(since_ns, until_ns, kMaxFramesTold + 1);
    }
    const bool complete = found.size() <= kMaxFramesTold;
    if (!complete) found.pop_back();
    nlohmann::json frames = nlohmann::json::array();
    for (const ArrivedFrame& frame : found) {
        frames.push_back({frame.mono_ns, config_->drives[frame.drive].name, frame.command,
                          frame.value ? nlohmann::json(*frame.value) : nlohmann::json(nullptr)});
    }
    return {{"frames", std::move(frames)}, {"complete", complete}};
}

nlohmann::json Plant::status() const {
    const std::lock_guard lock(mutex_);
    nlohmann::json drives = nlohmann::json::object();
    for (std::size_t i = 0; i < axes_.size(); ++i) {
        const Axis& axis = axes_[i];
        drives[config_->drives[i].name] = {{"axis_state", name_of(axis.axis_state())},
                                           {"axis_error", axis.axis_error()},
                                           {"mode", name_of(axis.mode())},
                                           {"input", axis.input()},
                                           {"position", axis.joint().position},
                                           {"velocity", axis.joint().velocity},
                                           {"effort", axis.joint().effort},
                                           {"frames", records_[i].frames},
                                           {"frames_refused", records_[i].refused},
                                           {"last_frame_mono_ns", records_[i].last_frame_mono_ns},
                                           {"input_vel_max_abs", axis.input_vel_max_abs()}};
    }
    return {{"drives", std::move(drives)},
            {"periods", periods_},
            {"link_receive_errors", link_receive_errors_},
            {"link_send_errors", link_send_errors_}};
}

}  // namespace holdfast::plant
