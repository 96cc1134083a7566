// The 1 kHz loop (DESIGN rules 1 to 7): samples in, mode, filter, frames out, heartbeat. One call a cycle;
// the thread around it is in core.cpp. No allocation, exception, lock, formatting or system call beyond
// clock, send and receive.
#pragma once

#include <array>
#include <cstdint>

#include "core/drive_bus.hpp"
#include "core/estimation.hpp"
#include "core/exchange.hpp"
#include "core/execution.hpp"
#include "core/overrun_ladder.hpp"
#include "core/phases.hpp"
#include "core/safety_view.hpp"
#include "robot/config.hpp"
#include "rt/clock.hpp"
#include "rt/periodic.hpp"
#include "shield/robot_shield.hpp"
#include "shm/segment.hpp"
#include "wasm/controller.hpp"

namespace holdfast::core {

struct RealtimeGrade {
    bool degraded{};  // something is missing, and the configuration lives with it
    bool refused{};   // something is missing, and the configuration demands it: no arming
};

class Tier1 {
  public:
    using Clock = std::int64_t (*)();

    Tier1(const RobotConfig& config, DriveBus bus, shm::Writer<shm::StateSegment>& segment,
          Exchange& exchange, wasm::Engine& engine, std::uint64_t boot_id, RealtimeGrade grade,
          Clock clock = monotonic_ns);

    void cycle(const Wake& wake);

  private:
    void begin(const Wake& wake);
    void advance_epoch();
    void observe();
    void decide(const Setpoint& setpoint);
    void begin_armed();
    void filter_commands(const Setpoint& setpoint);
    void show_samples();
    void send_commands();
    void forget_idle_channel(std::size_t drive);
    void send_drive_requests();
    void enable_in_turn();
    void note_stop_frames(bool all_sent);
    void update_motion();
    void watch_drive_errors();
    void watch_drive_heartbeats();
    void publish_snapshot();
    void publish(const Setpoint& setpoint);
    void note(EventKind kind, std::uint64_t detail, std::int32_t index = -1);
    [[nodiscard]] bool asked(Request request) const;

    const RobotConfig& config_;
    DriveBus bus_;
    shm::Writer<shm::StateSegment>& segment_;
    Exchange& exchange_;
    wasm::Engine& engine_;
    RealtimeGrade grade_;
    Clock clock_;

    SafetyView safety_;
    Estimation estimation_;
    PhaseTimer phases_;
    Execution execution_;
    Observation seen_;
    OverrunLadder ladder_;
    Shield shield_;
    // What the shield is shown.
    std::array<StateSample, kMaxStateChannels> samples_{};
    std::array<AxisVelocity, kMaxCommandChannels> velocities_{};
    std::array<std::uint32_t, kMaxDrives> last_axis_error_{};
    shm::StateData data_{};

    std::int64_t now_ns_{0};
    std::int64_t last_ns_{0};
    double dt_s_{};
    std::uint64_t period_{0};  // scheduled periods, the skipped ones included
    std::int64_t epoch_ns_{0};
    std::uint32_t requests_{0};
    std::uint64_t armed_cycles_{0};
    bool idling_{false};
    std::int64_t stop_cycle_ns_{0};   // start of the cycle that sent its first frames
    std::uint64_t latch_counted_{0};  // the stop whose estop_frame_cycle is known
    std::uint64_t stale_states_{0};
    std::uint32_t silent_drives_{0};
};

}  // namespace holdfast::core
