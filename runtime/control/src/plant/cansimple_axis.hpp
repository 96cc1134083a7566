// The drive's side of ODrive CANSimple (docs.odriverobotics.com, "CAN Protocol").
#pragma once

#include "drive/cansimple.hpp"
#include "plant/simulated_drive.hpp"

namespace holdfast::plant {

class CanSimpleAxis final : public SimulatedDrive {
  public:
    CanSimpleAxis(const RobotConfig& config, std::size_t drive);

    bool hears(const CanFrame& frame) const override { return cansimple::node_of(frame) == drive_.node; }
    std::optional<Received> receive(const CanFrame& frame) override;
    void step(double dt_s) override;
    // The encoder's report, the torque report if the robot has a state for it, and the heartbeat.
    DriveFrames feedback(Due due, const JointState& measured) override;
    void fail(std::uint32_t code) override;

    std::uint32_t command_number(const CanFrame& frame) const override {
        return static_cast<std::uint32_t>(cansimple::command_of(frame));
    }
    const char* state_name() const override;
    const char* mode_name() const override;
    std::uint32_t axis_error() const override { return axis_error_; }
    double input() const override { return input_; }
    double input_vel_max_abs() const override { return input_vel_max_abs_; }
    Joint& joint() override { return joint_; }
    [[nodiscard]] cansimple::AxisState axis_state() const { return axis_state_; }
    [[nodiscard]] cansimple::ControlMode mode() const { return mode_; }

  private:
    std::optional<Received> receive_input(const CanFrame& frame, cansimple::Command command);
    std::optional<Received> receive_axis_state(std::uint32_t requested);
    std::optional<Received> receive_mode(std::uint32_t mode);
    void rest_at_present_position();

    Drive drive_;
    Joint joint_;
    bool reports_torque_;
    cansimple::AxisState axis_state_{cansimple::AxisState::kIdle};
    cansimple::ControlMode mode_;
    std::uint32_t axis_error_{0};
    double input_{0.0};  // of the present mode, channel units
    double input_vel_max_abs_{0.0};
};

}  // namespace holdfast::plant
