#include "core/drive_bus.hpp"

#include <algorithm>
#include <map>

namespace holdfast::core {
namespace {

using shm::Counter;

// Far more than the drives of one link send in a cycle; a babbling node cannot hold the loop.
constexpr int kMaxFramesPerCycle = 256;

std::optional<double> quantity_of(const DriveSample& sample, Quantity quantity) {
    switch (quantity) {
        case Quantity::kPosition:
            return sample.position;
        case Quantity::kVelocity:
            return sample.velocity;
        case Quantity::kEffort:
            break;
    }
    return sample.effort;
}

}  // namespace

Expected<DriveBus> DriveBus::open(const RobotConfig& config, const std::filesystem::path& run_directory) {
    DriveBus bus(config);
    std::map<std::string, std::size_t> port_of_url;
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        const std::string& url = config.drives[d].link;
        const auto [found, is_new] = port_of_url.try_emplace(url, bus.ports_.size());
        if (is_new) {
            auto link = open_link(url, "core", run_directory);
            if (!link) return tl::unexpected(link.error());
            bus.ports_.push_back({std::move(*link), {}});
        }
        bus.ports_[found->second].drives.push_back(d);
        bus.port_of_drive_[d] = found->second;
    }
    return bus;
}

void DriveBus::receive(std::int64_t now_ns, Counters& counters) {
    for (const Port& port : ports_) {
        for (int i = 0; i < kMaxFramesPerCycle; ++i) {
            CanFrame frame;
            const LinkResult result = port.link->receive(frame);
            if (result == LinkResult::kEmpty) break;
            if (result == LinkResult::kError) {
                counters.add(Counter::kLinkReceiveErrors);
                break;
            }
            counters.add(Counter::kFramesReceived);
            take(port, frame, now_ns);
        }
    }
}

void DriveBus::take(const Port& port, const CanFrame& frame, std::int64_t now_ns) {
    for (const std::size_t d : port.drives) {
        if (const auto sample = cansimple::decode(config_->drives[d], frame))
            return store(d, *sample, now_ns);
    }
}

void DriveBus::store(std::size_t drive, const DriveSample& sample, std::int64_t now_ns) {
    if (sample.axis_error) axis_[drive].error = *sample.axis_error;
    if (sample.axis_state) axis_[drive].state = *sample.axis_state;
    for (std::size_t s = 0; s < config_->states.size(); ++s) {
        const StateChannel& channel = config_->states[s];
        if (channel.drive != drive) continue;
        if (const auto value = quantity_of(sample, channel.quantity)) samples_[s] = {*value, now_ns};
    }
}

bool DriveBus::fresh(std::size_t state, std::int64_t now_ns) const {
    const Sample& sample = samples_[state];
    return sample.mono_ns != 0 && now_ns - sample.mono_ns <= config_->states[state].max_age_ns;
}

void DriveBus::forget_axis_states() {
    for (Axis& axis : axis_) axis.state = 0;
}

bool DriveBus::send(std::size_t drive, const CanFrame& frame, Counters& counters) {
    const bool sent = ports_[port_of_drive_[drive]].link->send(frame) == LinkResult::kOk;
    counters.add(sent ? Counter::kFramesSent : Counter::kLinkSendErrors);
    return sent;
}

bool DriveBus::send_command(std::size_t drive, double value, Counters& counters) {
    const Drive& d = config_->drives[drive];
    return send(drive, cansimple::command_frame(d, config_->commands[d.command].kind, value), counters);
}

void DriveBus::send_enable(std::size_t drive, Counters& counters) {
    const Drive& d = config_->drives[drive];
    std::array<CanFrame, cansimple::kMaxEnableFrames> frames;
    const std::size_t count = cansimple::enable_frames(d, config_->commands[d.command].kind, frames);
    for (std::size_t i = 0; i < count; ++i) (void)send(drive, frames[i], counters);
}

void DriveBus::send_clear_errors(std::size_t drive, Counters& counters) {
    const Drive& d = config_->drives[drive];
    std::array<CanFrame, cansimple::kMaxEnableFrames> frames;
    (void)cansimple::enable_frames(d, config_->commands[d.command].kind, frames);
    (void)send(drive, frames[0], counters);
}

void DriveBus::send_idle(std::size_t drive, Counters& counters) {
    (void)send(drive, cansimple::idle_frame(config_->drives[drive]), counters);
}

}  // namespace holdfast::core
