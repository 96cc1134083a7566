#include "core/event_log.hpp"

#include "core/log.hpp"
#include "drive/drive.hpp"
#include "shm/names.hpp"

namespace holdfast::core {

void EventLog::drain() {
    while (const auto event = exchange_.controller_events.pop()) write(*event);
    while (const auto event = exchange_.tier1_events.pop()) write(*event);
    report_dropped();
}

void EventLog::report_dropped() {
    const std::uint64_t dropped = exchange_.controller_events.dropped() + exchange_.tier1_events.dropped();
    if (dropped != dropped_)
        log_warning("log: " + std::to_string(dropped - dropped_) + " records were dropped");
    dropped_ = dropped;
}

void EventLog::write(const Event& event) {
    switch (event.kind) {
        case EventKind::kArmed:
            stop_message_.clear();
            return log_info("motion: armed");
        case EventKind::kStopBegun:
            stop_message_ = stop_text(event);
            return log_warning("motion: controlled stop: " + stop_message_);
        case EventKind::kStandstill:
            return log_info("motion: standstill; disarmed");
        case EventKind::kEstopSeen:
            return log_error("estop: stop " + std::to_string(event.detail) +
                             " is latched; safe frames are sent");
        case EventKind::kEstopCleared:
            return log_info("estop: reset; nothing moves until arm");
        case EventKind::kControllerFault:
            faulted_generation_ = event.detail >> 8;
            fault_message_ = fault_text(event);
            return log_error("controller: " + fault_message_);
        case EventKind::kStateChanged:
            return log_info("motion: " + std::string(shm::name_of(static_cast<shm::Mode>(event.detail))) +
                            ", asked for");
        case EventKind::kFault:
            return log_error(
                "motion: fault: drive " + drive_name(event.index) +
                " keeps its error although it was cleared; mend it, then `holdfast robot clear`");
        case EventKind::kDriveError:
            return log_error("drive " + drive_name(event.index) + ": reports " +
                             describe_axis_error(config_.drives.at(static_cast<std::size_t>(event.index)),
                                                 static_cast<std::uint32_t>(event.detail)));
        case EventKind::kDriveSilent:
            return log_error("drive " + drive_name(event.index) +
                             ": its heartbeat is missing; check its power, node and wiring, and its link");
    }
}

std::string EventLog::stop_text(const Event& event) const {
    switch (static_cast<StopReason>(event.detail)) {
        case StopReason::kOperator:
            return "asked for";
        case StopReason::kControllerTrap:
        case StopReason::kControllerOverrun:
        case StopReason::kControllerNotFinite:
        case StopReason::kControllerEstopRequest:
            return "the controller failed";
        case StopReason::kNoController:
            return "the controller was unloaded";
        case StopReason::kSafetySilent:
            return "holdfast-safety gives no heartbeat";
        case StopReason::kOverruns:
            return std::to_string(config_.control.overrun_limit) + " overruns within " +
                   std::to_string(config_.control.overrun_window) + " cycles";
        case StopReason::kDriveError:
            return "drive " + drive_name(event.index) + " reports an error";
        case StopReason::kDriveSilent:
            return "drive " + drive_name(event.index) + " is silent: no heartbeat, or its link is lost";
        case StopReason::kDriveNotReady:
            break;
    }
    return "drive " + drive_name(event.index) + " is not in closed loop; check its power, node and wiring";
}

std::string EventLog::fault_text(const Event& event) const {
    switch (static_cast<shm::ControllerFault>(event.detail & 0xFF)) {
        case shm::ControllerFault::kTrap:
        case shm::ControllerFault::kOverrun:
            return store_.trap_message(event.detail >> 8);
        case shm::ControllerFault::kNotFinite:
            return "command.set got a value that is not finite for channel " +
                   config_.commands.at(static_cast<std::size_t>(event.index)).name;
        case shm::ControllerFault::kEstopRequest:
            return "it called safety.request_estop";
        case shm::ControllerFault::kNone:
            break;
    }
    return "";
}

std::string EventLog::drive_name(std::int32_t drive) const {
    return config_.drives.at(static_cast<std::size_t>(drive)).name;
}

const std::string& EventLog::fault_message(std::uint64_t generation) {
    drain();
    static const std::string none;
    return generation == faulted_generation_ ? fault_message_ : none;
}

const std::string& EventLog::stop_message() {
    drain();
    return stop_message_;
}

}  // namespace holdfast::core
