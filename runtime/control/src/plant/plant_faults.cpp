// The part of Plant that makes things go wrong on request.
#include <algorithm>

#include "plant/plant.hpp"

namespace holdfast::plant {

std::vector<Plant::Device*> Plant::devices_named(const std::string& name) {
    std::vector<Device*> found;
    for (auto* list : {&drive_devices_, &sensor_devices_}) {
        for (Device& device : *list) {
            if (name.empty() || device.name == name) found.push_back(&device);
        }
    }
    return found;
}

// A fault that would do nothing is refused: a scenario must not believe that it caused one.
Expected<void> Plant::refuse_what_cannot_be(const FaultRequest& request) const {
    const auto is = [&](const Device& device) { return device.name == request.device; };
    const auto drive = std::find_if(drive_devices_.begin(), drive_devices_.end(), is);
    const bool is_drive = drive != drive_devices_.end();
    const bool is_sensor = std::any_of(sensor_devices_.begin(), sensor_devices_.end(), is);
    if (!request.device.empty() && !is_drive && !is_sensor)
        return fail("there is no drive or sensor \"" + request.device + "\" in robot.toml");
    const bool for_drives = request.kind == FaultKind::kAxisError || request.kind == FaultKind::kLoad;
    if (for_drives && !is_drive)
        return fail(std::string(name_of(request.kind)) + " needs a drive as \"device\"");
    if (is_drive && request.kind == FaultKind::kNan) {
        const auto index = static_cast<std::size_t>(drive - drive_devices_.begin());
        if (config_->drives[index].profile == "cia402")
            return fail("a cia402 drive reports whole numbers and cannot send NaN; use freeze or lost");
    }
    if (is_drive && is_sensor) return fail("\"" + request.device + "\" is a drive and a sensor; rename one");
    return {};
}

Expected<void> Plant::add_fault(const FaultRequest& request) {
    const std::lock_guard lock(mutex_);
    if (const auto possible = refuse_what_cannot_be(request); !possible) return possible;
    if (request.at_period && *request.at_period > periods_) {
        scheduled_.push_back({request, *request.at_period});
    } else {
        begin_fault(request);
    }
    return {};
}

Expected<void> Plant::clear_faults(const std::string& device) {
    const std::lock_guard lock(mutex_);
    const auto found = devices_named(device);
    if (found.empty()) return fail("there is no drive or sensor \"" + device + "\" in robot.toml");
    for (Device* known : found) known->faults.clear();
    std::erase_if(scheduled_,
                  [&](const Scheduled& later) { return device.empty() || later.request.device == device; });
    return {};
}

void Plant::begin_due_faults() {
    for (const Scheduled& later : scheduled_) {
        if (later.at_period <= periods_) begin_fault(later.request);
    }
    std::erase_if(scheduled_, [this](const Scheduled& later) { return later.at_period <= periods_; });
}

void Plant::begin_fault(const FaultRequest& request) {
    if (request.kind == FaultKind::kAxisError) {
        for (std::size_t i = 0; i < drives_.size(); ++i) {
            if (drive_devices_[i].name == request.device)
                drives_[i]->fail(static_cast<std::uint32_t>(request.amount));
        }
        return;
    }
    std::optional<std::uint64_t> until;
    if (request.periods) until = periods_ + *request.periods;
    for (Device* device : devices_named(request.device))
        device->faults.set(request.kind, request.amount, until);
}

Expected<void> Plant::set_measured(const std::string& sensor, const std::string& quantity, double value) {
    const std::lock_guard lock(mutex_);
    for (SimulatedSensor& known : sensors_) {
        if (known.sensor().name != sensor) continue;
        if (known.set(quantity, value)) return {};
        return fail(
            std::string("sensor \"").append(sensor).append("\" does not measure \"").append(quantity) + "\"");
    }
    return fail("there is no sensor \"" + sensor + "\" in robot.toml");
}

}  // namespace holdfast::plant
