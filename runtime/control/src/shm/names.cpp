#include "shm/names.hpp"

#include <span>

namespace holdfast::shm {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(kLastMode) + 1> kModes{
    "disarmed", "armed", "stopping", "estop", "fault", "running", "paused", "holding"};
constexpr std::array<std::string_view, 4> kControllerStates{"none", "loaded", "running", "faulted"};
constexpr std::array<std::string_view, 5> kControllerFaults{"none", "trap", "overrun", "not_finite",
                                                            "estop_request"};
constexpr std::array<std::string_view, static_cast<std::size_t>(kLastStopCause) + 1> kStopCauses{
    "none",
    "operator",
    "core_lost",
    "worker_lost",
    "controller_request",
    "controller_not_finite",
    "state_record_unreadable",
    "estop_line",
    "estop_discrepancy",
    "estop_line_unreadable",
    "enable_line_failed",
    "drive_fault",
    "core_overruns",
    "temperature",
    "memory_pressure",
    "health_unreadable"};
constexpr std::array<std::string_view, static_cast<std::size_t>(Counter::kCount)> kCounters{
    "overruns",
    "skipped_cycles",
    "controller_ticks",
    "controller_overruns",
    "controller_traps",
    "setpoint_stale",
    "state_stale",
    "command_not_finite",
    "command_clamped",
    "command_no_channel",
    "shield_rate_limited",
    "shield_stopping_distance",
    "shield_conflict",
    "metrics_dropped",
    "link_send_errors",
    "link_receive_errors",
    "frames_sent",
    "frames_received",
    "safety_beat_missed",
    "seqlock_retries_exhausted",
    "drive_errors",
    "drive_silences",
    "link_bus_off",
    "link_restarts",
    "link_error_passive",
    "link_ack_errors",
    "link_overflows",
    "link_downs",
    "link_damaged_frames",
    "shield_coupling",
    "shield_workspace",
    "shield_zone_slow",
    "shield_zone_stop",
    "estimate_rejected",
    "estimate_not_finite",
    "estimate_restarts",
    "estimate_unhealthy",
    "attitude_gated",
    "transitions_refused",
    "candidate_ticks",
    "candidate_ticks_skipped",
    "candidates_rejected",
    "canary_limited",
    "rollbacks",
    "input_stale",
    "input_refused"};
constexpr std::array<std::string_view, 4> kEstimateHealths{"none", "waiting", "healthy", "unhealthy"};

template <typename Enum>
std::string_view look_up(std::span<const std::string_view> names, Enum value) {
    const auto index = static_cast<std::size_t>(value);
    return index < names.size() ? names[index] : "unknown";
}

}  // namespace

std::string_view name_of(Mode mode) { return look_up(kModes, mode); }
std::string_view name_of(ControllerState state) { return look_up(kControllerStates, state); }
std::string_view name_of(ControllerFault fault) { return look_up(kControllerFaults, fault); }
std::string_view name_of(StopCause cause) { return look_up(kStopCauses, cause); }
std::string_view name_of(Counter counter) { return look_up(kCounters, counter); }
std::string_view name_of(EstimateHealth health) { return look_up(kEstimateHealths, health); }

}  // namespace holdfast::shm
