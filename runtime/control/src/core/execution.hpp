// What the robot does next (DESIGN rules 2, 3, 6 and 7): raises the events of execution_state.hpp from what
// the cycle has seen, and answers requests. Tier-1 thread; no clock and no I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/exchange.hpp"
#include "core/execution_state.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

// What Tier-1 knows when it decides. One bit per drive, state or command channel in the masks.
struct Observation {
    std::int64_t now_ns{};
    std::uint32_t requests{};
    std::uint64_t latch{};  // number of the latched stop, 0: none
    bool safety_silent{};
    bool arm_permitted{};
    bool realtime_refused{};
    bool overrun{};  // the last cycle ended after this one was due
    bool too_many_overruns{};
    std::uint32_t drive_errors{};
    std::uint32_t drives_silent{};
    std::uint32_t drives_enabled{};
    std::uint64_t stale_states{};
    std::uint32_t untrusted_joints{};  // bit per command channel
};

class Execution {
  public:
    Execution(const RobotConfig& config, Exchange& exchange)
        : config_(config),
          exchange_(exchange),
          all_drives_(static_cast<std::uint32_t>((std::uint64_t{1} << config.drives.size()) - 1)) {}

    // Before the frames of this cycle.
    void decide(const Observation& seen, const Setpoint& setpoint);
    // After them: nothing that was sent moves since `still_since_ns`, or something does.
    void settle(std::int64_t now_ns, bool still, bool measured_moving);

    [[nodiscard]] ExecutionState state() const { return state_; }
    // The setpoint is sent; otherwise the safe value of each channel.
    [[nodiscard]] bool follows(const Setpoint& setpoint) const {
        return state_ == ExecutionState::kRunning && setpoint.mono_ns > released_at_ns_;
    }
    // This cycle's decision armed the robot: a drive starts from where it is.
    [[nodiscard]] bool just_armed() const { return just_armed_; }
    // This cycle is the first that sees the latched stop, or the first without it.
    [[nodiscard]] bool stop_just_seen() const { return stop_just_seen_; }
    [[nodiscard]] bool stop_just_cleared() const { return stop_just_cleared_; }
    [[nodiscard]] std::uint64_t seen_latch() const { return seen_latch_; }
    // Why the robot cannot be armed now.
    [[nodiscard]] std::uint32_t blockers(const Observation& seen, const Setpoint& setpoint) const;

  private:
    struct Cause {
        StopReason reason{};
        std::int32_t drive{-1};
    };

    bool raise(ExecutionEvent event);
    void follow_latch(const Observation& seen);
    void watch_clearing(const Observation& seen);
    void begin_stop(Cause cause, std::int64_t now_ns);
    void answer_requests(const Observation& seen, const Setpoint& setpoint);
    void answer_arm(const Observation& seen, const Setpoint& setpoint);
    void clear_fault(std::int64_t now_ns);
    void answer(ExecutionEvent event);
    void release_or_hold(const Observation& seen, const Setpoint& setpoint);
    [[nodiscard]] bool setpoint_stale(std::int64_t now_ns, const Setpoint& setpoint) const;
    [[nodiscard]] std::optional<Cause> stop_cause(const Observation& seen, const Setpoint& setpoint) const;
    [[nodiscard]] std::optional<Cause> drive_cause(const Observation& seen) const;
    void note(EventKind kind, std::uint64_t detail, std::int64_t now_ns, std::int32_t index = -1);

    const RobotConfig& config_;
    Exchange& exchange_;
    std::uint32_t all_drives_;

    ExecutionState state_{ExecutionState::kDisarmed};
    std::int64_t armed_at_ns_{0};     // or resumed: the drives have this long to be ready
    std::int64_t released_at_ns_{0};  // only setpoints after it are followed
    bool drives_were_ready_{false};   // since the robot was armed
    bool just_armed_{false};
    bool stop_just_seen_{false};
    bool stop_just_cleared_{false};
    std::uint64_t seen_latch_{0};
    std::int64_t still_since_ns_{0};  // or since the stop began
    bool still_{true};
    std::uint64_t arm_answers_{0};
    std::uint64_t answers_{0};
    std::array<std::uint32_t, kMaxDrives> clearings_{};  // of an error that is still there
    std::int64_t cleared_at_ns_{0};
    std::int32_t incurable_drive_{-1};
};

}  // namespace holdfast::core
