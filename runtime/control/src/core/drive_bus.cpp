#include "core/drive_bus.hpp"

#include <algorithm>
#include <iterator>

#include "sensor/frames.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;

// Far more than the devices of one link send in a cycle; a babbling node cannot hold the loop.
constexpr int kMaxFramesPerCycle = 256;
// A link that answers nothing but errors is left alone until the next cycle.
constexpr int kMaxErrorsPerCycle = 16;
constexpr std::int64_t kHeartbeatsMissed = 3;

std::optional<double> quantity_of(const DriveSample& sample, Quantity quantity) {
    switch (quantity) {
        case Quantity::kPosition:
            return sample.position;
        case Quantity::kVelocity:
            return sample.velocity;
        case Quantity::kEffort:
            return sample.effort;
        default:
            return std::nullopt;
    }
}

}  // namespace

Expected<DriveBus> DriveBus::open(const RobotConfig& config, const std::filesystem::path& run_directory) {
    DriveBus bus(config);
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        const Drive& drive = config.drives[d];
        const auto port = bus.port_of(drive.link, run_directory);
        if (!port) return tl::unexpected(port.error());
        bus.profiles_.push_back(make_drive_profile(drive, config.commands[drive.command].kind));
        bus.port_of_drive_[d] = *port;
        bus.ports_[*port].drives.push_back(d);
        if (!bus.ports_[*port].sync) bus.ports_[*port].sync = bus.profiles_.back()->sync();
    }
    for (std::size_t s = 0; s < config.sensors.size(); ++s) {
        const auto port = bus.port_of(config.sensors[s].link, run_directory);
        if (!port) return tl::unexpected(port.error());
        bus.ports_[*port].sensors.push_back(s);
    }
    for (const Port& port : bus.ports_) {
        if (const auto chosen = bus.listen(port); !chosen) return tl::unexpected(chosen.error());
    }
    return bus;
}

Expected<void> DriveBus::listen(const Port& port) const {
    std::vector<std::uint32_t> ids;
    for (const std::size_t d : port.drives)
        std::ranges::copy(profiles_[d]->reports(), std::back_inserter(ids));
    for (const std::size_t s : port.sensors)
        std::ranges::copy(sensor::reports(config_->sensors[s]), std::back_inserter(ids));
    return port.link->listen(ids);
}

Expected<std::size_t> DriveBus::port_of(const std::string& url, const std::filesystem::path& run_directory) {
    const auto known = std::find(urls_.begin(), urls_.end(), url);
    const auto index = static_cast<std::size_t>(known - urls_.begin());
    if (known != urls_.end()) return index;
    auto link = open_link(url, "core", run_directory);
    if (!link) return tl::unexpected(link.error());
    urls_.push_back(url);
    ports_.push_back({std::move(*link), Arrival(config_->tier1_period_ns()), {}, {}, {}, {}});
    return index;
}

void DriveBus::receive(std::int64_t now_ns, Counters& counters) {
    const std::int64_t elapsed_ns = last_receive_ns_ == 0 ? 0 : now_ns - last_receive_ns_;
    const std::int64_t longest_ns = kMaxPeriodsListened * config_->tier1_period_ns();
    listened_ns_ += std::min(elapsed_ns, longest_ns);
    if (last_receive_ns_ == 0 || elapsed_ns >= kMaxStepNs) listening_since_ns_ = now_ns;
    last_receive_ns_ = now_ns;
    for (Port& port : ports_) {
        drain(port, now_ns, counters);
        count_health(port, counters);
        maintain(port, counters);
    }
}

void DriveBus::drain(Port& port, std::int64_t now_ns, Counters& counters) {
    const std::int64_t arrived_ns = port.arrival.earliest(now_ns);
    int errors = 0;
    for (int i = 0; i < kMaxFramesPerCycle && errors < kMaxErrorsPerCycle; ++i) {
        CanFrame frame;
        const LinkResult result = port.link->receive(frame);
        if (result == LinkResult::kEmpty) return port.arrival.emptied(now_ns);
        if (result == LinkResult::kError) {
            counters.add(Counter::kLinkReceiveErrors);
            ++errors;
            continue;
        }
        counters.add(Counter::kFramesReceived);
        take(port, frame, arrived_ns);
    }
}

void DriveBus::count_health(Port& port, Counters& counters) const {
    const LinkHealth& now = port.link->health();
    counters.add(Counter::kLinkBusOff, now.bus_off - port.counted.bus_off);
    counters.add(Counter::kLinkRestarts, now.restarts - port.counted.restarts);
    counters.add(Counter::kLinkErrorPassive, now.passive_episodes - port.counted.passive_episodes);
    counters.add(Counter::kLinkAckErrors, now.ack_errors - port.counted.ack_errors);
    counters.add(Counter::kLinkOverflows, now.overflows - port.counted.overflows);
    counters.add(Counter::kLinkDowns, now.downs - port.counted.downs);
    counters.add(Counter::kLinkDamagedFrames, now.damaged - port.counted.damaged);
    port.counted = now;
}

void DriveBus::maintain(const Port& port, Counters& counters) {
    for (const std::size_t d : port.drives) {
        const DriveFrames needed = profiles_[d]->upkeep();
        if (!needed.empty()) (void)send(d, needed, counters);
    }
    if (!port.sync) return;
    const bool sent = port.link->send(*port.sync) == LinkResult::kOk;
    counters.add(sent ? Counter::kFramesSent : Counter::kLinkSendErrors);
}

void DriveBus::take(const Port& port, const CanFrame& frame, std::int64_t arrived_ns) {
    for (const std::size_t d : port.drives) {
        if (const auto sample = profiles_[d]->decode(frame)) return store(d, *sample, arrived_ns);
    }
    for (const std::size_t s : port.sensors) {
        const auto reading = sensor::decode(config_->sensors[s], frame);
        if (!reading) continue;
        for (std::size_t i = 0; i < reading->count; ++i)
            store(s, reading->values[i].quantity, reading->values[i].value, arrived_ns);
        return;
    }
}

void DriveBus::store(std::size_t drive, const DriveSample& sample, std::int64_t arrived_ns) {
    if (sample.axis_error) axis_[drive].error = *sample.axis_error;
    if (sample.axis_state) axis_[drive].state = *sample.axis_state;
    if (sample.heartbeat) axis_[drive].heard_at_ns = listened_ns_;
    if (sample.velocity) axis_[drive].velocity = {*sample.velocity, arrived_ns};
    for (std::size_t s = 0; s < config_->states.size(); ++s) {
        const StateChannel& channel = config_->states[s];
        if (channel.sensor || channel.drive != drive) continue;
        if (const auto value = quantity_of(sample, channel.quantity)) samples_[s] = {*value, arrived_ns};
    }
}

void DriveBus::store(std::size_t sensor, Quantity quantity, double value, std::int64_t arrived_ns) {
    for (std::size_t s = 0; s < config_->states.size(); ++s) {
        const StateChannel& channel = config_->states[s];
        if (channel.sensor == sensor && channel.quantity == quantity) samples_[s] = {value, arrived_ns};
    }
}

bool DriveBus::fresh(std::size_t state, std::int64_t now_ns) const {
    const Sample& sample = samples_[state];
    return sample.mono_ns != 0 && now_ns - sample.mono_ns <= config_->states[state].max_age_ns;
}

AxisVelocity DriveBus::velocity(std::size_t drive, std::int64_t now_ns) const {
    const Sample& said = axis_[drive].velocity;
    if (said.mono_ns != 0 && now_ns - said.mono_ns <= kVelocityAgeNs) return {.measured = said.value};
    return {.awaited = now_ns - listening_since_ns_ < kVelocityAgeNs};
}

bool DriveBus::silent(std::size_t drive) const {
    if (!ports_[port_of_drive_[drive]].link->health().usable) return true;
    const auto heard_at_ns = axis_[drive].heard_at_ns;
    return !heard_at_ns ||
           listened_ns_ - *heard_at_ns > kHeartbeatsMissed * config_->drives[drive].heartbeat_ns;
}

void DriveBus::forget_axis_states() {
    for (Axis& axis : axis_) axis.state = kDriveUnknown;
}

bool DriveBus::send(std::size_t drive, const DriveFrames& frames, Counters& counters) {
    for (const CanFrame& frame : frames) {
        const bool sent = ports_[port_of_drive_[drive]].link->send(frame) == LinkResult::kOk;
        counters.add(sent ? Counter::kFramesSent : Counter::kLinkSendErrors);
        // Each prepares the next: a loop must not be closed in a mode that never left.
        if (!sent) return false;
    }
    return true;
}

bool DriveBus::send_command(std::size_t drive, double value, Counters& counters) {
    return send(drive, profiles_[drive]->command(value), counters);
}

void DriveBus::send_enable(std::size_t drive, Counters& counters) {
    (void)send(drive, profiles_[drive]->enable(), counters);
}

void DriveBus::cancel_enables() {
    for (const auto& profile : profiles_) profile->cancel_enable();
}

void DriveBus::send_clear_errors(std::size_t drive, Counters& counters) {
    (void)send(drive, profiles_[drive]->clear_errors(), counters);
}

void DriveBus::send_idle(std::size_t drive, Counters& counters) {
    (void)send(drive, profiles_[drive]->idle(), counters);
}

}  // namespace holdfast::core
