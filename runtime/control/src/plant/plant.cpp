#include "plant/plant.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <limits>

#include "drive/cia402.hpp"
#include "plant/encoder.hpp"
#include "rt/clock.hpp"

namespace holdfast::plant {
namespace {

constexpr double kPeriodS = 1e-3;
constexpr double kPeriodHz = 1e3;
// A longer pause of this process is no motion of the joints.
constexpr std::uint64_t kMaxPeriodsAtOnce = 100;
// Frames taken from one link before the clock is looked at again.
constexpr int kMaxFramesAtOnce = 256;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// A reply has 64 KiB, and a name up to 64 letters.
constexpr std::size_t kMaxFramesTold = 500;

std::uint64_t periods_of(std::uint32_t rate_hz) {
    return rate_hz == 0 ? 1 : std::max<std::uint64_t>(1, static_cast<std::uint64_t>(kPeriodHz / rate_hz));
}

std::uint64_t heartbeat_periods(const Drive& drive) {
    return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(drive.heartbeat_ns / kPeriodNs));
}

// True if a multiple of `every` lies in (before, after]. Each device beats at its own times, as real ones do:
// all at once they would overflow a Unix socket, which holds ten frames.
bool is_due(std::uint64_t before, std::uint64_t after, std::uint64_t every, std::uint64_t phase) {
    return before == 0 || (before + phase) / every != (after + phase) / every;
}

}  // namespace

Plant::Plant(const RobotConfig& config, std::optional<std::uint64_t> seed,
             std::unique_ptr<Recording> recording)
    : config_(&config),
      noisy_(seed.has_value()),
      seed_(seed.value_or(0)),
      recording_(std::move(recording)),
      records_(config.drives.size()),
      measured_(config.drives.size()),
      sensed_(config.sensors.size()) {
    // One stream of chance a device: what happens to one does not depend on the others.
    std::uint64_t stream = seed_;
    const auto device = [&stream](const std::string& name, std::uint32_t rate_hz) {
        stream += 0x9E37'79B9'7F4A'7C15;
        return Device{name, 0, periods_of(rate_hz), {}, Outbox(stream), std::mt19937_64(stream + 1)};
    };
    for (std::size_t i = 0; i < config.drives.size(); ++i) {
        drives_.push_back(make_simulated_drive(config, i));
        drive_devices_.push_back(device(config.drives[i].name, config.drives[i].feedback_hz));
    }
    for (const Sensor& sensor : config.sensors) {
        sensors_.emplace_back(sensor);
        sensor_devices_.push_back(device(sensor.name, sensor.rate_hz));
    }
}

Expected<std::unique_ptr<Plant>> Plant::open(const RobotConfig& config,
                                             const std::filesystem::path& run_directory,
                                             std::optional<std::uint64_t> seed,
                                             std::unique_ptr<Recording> recording) {
    std::unique_ptr<Plant> plant(new Plant(config, seed, std::move(recording)));
    for (std::size_t i = 0; i < config.drives.size(); ++i) {
        const auto connected = plant->connect(plant->drive_devices_[i], config.drives[i].link, run_directory);
        if (!connected) return tl::unexpected(connected.error());
    }
    for (std::size_t i = 0; i < config.sensors.size(); ++i) {
        const auto connected =
            plant->connect(plant->sensor_devices_[i], config.sensors[i].link, run_directory);
        if (!connected) return tl::unexpected(connected.error());
    }
    return plant;
}

Expected<void> Plant::connect(Device& device, const std::string& url,
                              const std::filesystem::path& run_directory) {
    const auto known = std::find(link_urls_.begin(), link_urls_.end(), url);
    device.link = static_cast<std::size_t>(known - link_urls_.begin());
    if (known != link_urls_.end()) return {};
    auto link = open_drive_side(url, run_directory);
    if (!link) return tl::unexpected(link.error());
    links_.push_back(std::move(*link));
    link_urls_.push_back(url);
    return {};
}

void Plant::receive_until(std::int64_t until_ns) {
    std::vector<pollfd> waiting;
    waiting.reserve(links_.size());
    for (const auto& link : links_) waiting.push_back({link->fd(), POLLIN, 0});
    std::int64_t left_ns = 0;
    do {
        left_ns = std::max<std::int64_t>(until_ns - monotonic_ns(), 0);
        const timespec patience{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
        if (::ppoll(waiting.data(), waiting.size(), &patience, nullptr) <= 0) continue;
        for (std::size_t i = 0; i < links_.size(); ++i) {
            if (waiting[i].revents != 0) drain(i);
        }
    } while (left_ns > 0);
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
    for (std::size_t i = 0; i < drives_.size(); ++i) {
        const Device& device = drive_devices_[i];
        if (device.link != link || !drives_[i]->hears(frame)) continue;
        if (device.faults.active(FaultKind::kSilent, periods_)) continue;
        take_for(i, frame);
    }
}

void Plant::take_for(std::size_t drive, const CanFrame& frame) {
    const auto received = drives_[drive]->receive(frame);
    // A SYNC carries nothing for the record.
    if (drives_[drive]->reports_on_sync() && frame.id == cia402::kSyncId) {
        report_drive(drive, {.feedback = received.has_value(), .heartbeat = false});
        return deliver(drive_devices_[drive]);
    }
    ++records_[drive].frames;
    records_[drive].last_frame_mono_ns = monotonic_ns();
    if (!received) ++records_[drive].refused;
    arrived_.add({records_[drive].last_frame_mono_ns, static_cast<std::uint32_t>(drive),
                  drives_[drive]->command_number(frame), received ? received->value : std::nullopt});
    record(drive, frame, received);
    if (received && received->reply) {
        put(drive_devices_[drive], DriveFrames(*received->reply));
        deliver(drive_devices_[drive]);
    }
}

void Plant::record(std::size_t drive, const CanFrame& frame, const std::optional<Received>& received) {
    if (!recording_) return;
    const std::size_t link = drive_devices_[drive].link;
    const std::string_view sender = links_[link]->sender();
    recording_->add({.mono_ns = records_[drive].last_frame_mono_ns,
                     .node = config_->drives[drive].node,
                     .command = drives_[drive]->command_number(frame),
                     .value = received ? received->value : std::nullopt,
                     .from = std::string(sender.empty() ? link_urls_[link] : sender)});
}

void Plant::step(std::uint64_t periods) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t before = periods_;
    periods_ += periods;
    begin_due_faults();
    for (std::size_t i = 0; i < drives_.size(); ++i) step_drive(i, before, periods);
    for (std::size_t i = 0; i < sensors_.size(); ++i) {
        if (is_due(before, periods_, sensor_devices_[i].feedback_periods, i)) report_sensor(i);
        deliver(sensor_devices_[i]);
    }
}

void Plant::step_drive(std::size_t drive, std::uint64_t before, std::uint64_t periods) {
    Device& device = drive_devices_[drive];
    SimulatedDrive& simulated = *drives_[drive];
    simulated.joint().set_load(device.faults.active(FaultKind::kLoad, periods_).value_or(0.0));
    for (std::uint64_t k = 0; k < std::min(periods, kMaxPeriodsAtOnce); ++k) simulated.step(kPeriodS);
    const std::uint64_t every = heartbeat_periods(config_->drives[drive]);
    report_drive(drive, {.feedback = !simulated.reports_on_sync() &&
                                     is_due(before, periods_, device.feedback_periods, drive),
                         .heartbeat = is_due(before, periods_, every, drive)});
    deliver(device);
}

void Plant::report_drive(std::size_t drive, Due due) {
    Device& device = drive_devices_[drive];
    JointState& measured = measured_[drive];
    if (!device.faults.active(FaultKind::kFreeze, periods_)) {
        measured = measure(drives_[drive]->joint().state(), config_->drives[drive].turns_per_unit,
                           noisy_ ? &device.noise : nullptr);
    }
    const bool blind = device.faults.active(FaultKind::kNan, periods_).has_value();
    put(device, drives_[drive]->feedback(due, blind ? JointState{kNan, kNan, kNan} : measured));
}

void Plant::report_sensor(std::size_t sensor) {
    Device& device = sensor_devices_[sensor];
    if (!device.faults.active(FaultKind::kFreeze, periods_))
        sensed_[sensor] = sensors_[sensor].measure(noisy_ ? &device.noise : nullptr);
    Measured measured = sensed_[sensor];
    if (device.faults.active(FaultKind::kNan, periods_)) measured.fill(kNan);
    put(device, sensors_[sensor].feedback(measured));
}

void Plant::put(Device& device, const DriveFrames& frames) {
    if (device.faults.active(FaultKind::kSilent, periods_)) return;
    for (const CanFrame& frame : frames) device.outbox.put(frame, device.faults, periods_);
}

void Plant::deliver(Device& device) {
    link_send_errors_ += device.outbox.deliver(*links_[device.link], periods_);
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
    for (std::size_t i = 0; i < drives_.size(); ++i) {
        SimulatedDrive& drive = *drives_[i];
        const Device& device = drive_devices_[i];
        const JointState& joint = drive.joint().state();
        drives[device.name] = {{"axis_state", drive.state_name()},
                               {"axis_error", drive.axis_error()},
                               {"mode", drive.mode_name()},
                               {"input", drive.input()},
                               {"position", joint.position},
                               {"velocity", joint.velocity},
                               {"effort", joint.effort},
                               {"frames", records_[i].frames},
                               {"frames_refused", records_[i].refused},
                               {"last_frame_mono_ns", records_[i].last_frame_mono_ns},
                               {"input_vel_max_abs", drive.input_vel_max_abs()},
                               {"faults", device.faults.names(periods_)},
                               {"frames_lost", device.outbox.lost()},
                               {"frames_late", device.outbox.late()}};
    }
    nlohmann::json sensors = nlohmann::json::object();
    for (std::size_t i = 0; i < sensors_.size(); ++i) {
        const Device& device = sensor_devices_[i];
        nlohmann::json& entry = sensors[device.name];
        for (const Quantity quantity : sensor::quantities_of(sensors_[i].sensor().profile))
            entry[std::string(name_of(quantity))] = sensors_[i].value(quantity);
        entry["faults"] = device.faults.names(periods_);
        entry["frames_lost"] = device.outbox.lost();
        entry["frames_late"] = device.outbox.late();
    }
    return {{"drives", std::move(drives)},
            {"sensors", std::move(sensors)},
            {"periods", periods_},
            {"link_receive_errors", link_receive_errors_},
            {"link_send_errors", link_send_errors_}};
}

}  // namespace holdfast::plant
