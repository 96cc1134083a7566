// One simulated drive with its joint: the drive's side of ODrive CANSimple (docs.odriverobotics.com, "CAN
// Protocol") and a joint that moves within its physical capability. No clock, no I/O: the caller steps it.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>

#include "drive/cansimple.hpp"
#include "link/link.hpp"
#include "robot/config.hpp"

namespace holdfast::plant {

// What the joint can do, in channel units. A real joint can do more than its controller is allowed to ask
// for.
struct Capability {
    double velocity{};               // unit/s
    double accel{};                  // unit/s^2
    double inertia{};                // effort per unit/s^2; effort channels
    double damping{};                // effort per unit/s
    double friction{};               // effort, against any motion
    std::optional<Range> end_stops;  // unit; the joint cannot pass them
};
[[nodiscard]] Capability capability_of(const RobotConfig& config, const Drive& drive);

struct JointState {
    double position{};  // channel units
    double velocity{};
    double effort{};
};

// What a received frame meant, for the record.
struct Received {
    cansimple::Command command{cansimple::Command::kHeartbeat};
    std::optional<double> value;  // input: channel units; state and mode: their number; else none
};

class Axis {
  public:
    static constexpr std::size_t kMaxFeedbackFrames = 3;

    Axis(const RobotConfig& config, std::size_t drive);

    // Acts on a frame for this drive. Empty: malformed, unknown or not finite; nothing has changed.
    std::optional<Received> receive(const CanFrame& frame);
    // Moves the joint on by one time step.
    void step(double dt_s);
    // The encoder's report, the torque report if the robot has a state for it, and the heartbeat if due.
    // Returns how many.
    std::size_t feedback(bool heartbeat_due, std::mt19937_64* noise,
                         std::span<CanFrame, kMaxFeedbackFrames> frames) const;

    [[nodiscard]] const JointState& joint() const { return joint_; }
    [[nodiscard]] cansimple::AxisState axis_state() const { return axis_state_; }
    [[nodiscard]] cansimple::ControlMode mode() const { return mode_; }
    [[nodiscard]] std::uint32_t axis_error() const { return axis_error_; }
    [[nodiscard]] double input() const { return input_; }
    // The largest velocity that was ever asked for by Set_Input_Vel.
    [[nodiscard]] double input_vel_max_abs() const { return input_vel_max_abs_; }

  private:
    std::optional<Received> receive_input(const CanFrame& frame, cansimple::Command command);
    std::optional<Received> receive_axis_state(std::uint32_t requested);
    std::optional<Received> receive_mode(std::uint32_t mode);
    void rest_at_present_position();
    [[nodiscard]] double acceleration(double dt_s) const;
    [[nodiscard]] double acceleration_under_effort(double effort, double dt_s) const;
    void keep_within_end_stops();

    Drive drive_;
    Capability capability_;
    bool reports_torque_;
    JointState joint_;
    cansimple::AxisState axis_state_{cansimple::AxisState::kIdle};
    cansimple::ControlMode mode_;
    std::uint32_t axis_error_{0};
    double input_{0.0};  // of the present mode, channel units
    double input_vel_max_abs_{0.0};
};

}  // namespace holdfast::plant
