// The drive's side of CiA 402: CiA 301 network states, the state machine of CiA 402-2, the two cyclic modes.
#pragma once

#include "drive/cia402.hpp"
#include "plant/simulated_drive.hpp"

namespace holdfast::plant {

class Cia402Axis final : public SimulatedDrive {
  public:
    Cia402Axis(const RobotConfig& config, std::size_t drive);

    bool hears(const CanFrame& frame) const override;
    std::optional<Received> receive(const CanFrame& frame) override;
    void step(double dt_s) override;
    // Once operational: TPDO1 and TPDO2. Heartbeat, and an EMCY when the error has changed.
    DriveFrames feedback(Due due, const JointState& measured) override;
    bool reports_on_sync() const override { return true; }
    void fail(std::uint32_t code) override;

    // The function code.
    std::uint32_t command_number(const CanFrame& frame) const override { return frame.id & ~0x7Fu; }
    const char* state_name() const override;
    const char* mode_name() const override;
    std::uint32_t axis_error() const override { return error_code_; }
    double input() const override { return input_; }
    double input_vel_max_abs() const override { return input_vel_max_abs_; }
    Joint& joint() override { return joint_; }
    [[nodiscard]] cia402::State state() const { return state_; }

  private:
    std::optional<Received> receive_network_command(const CanFrame& frame);
    std::optional<Received> receive_rpdo(const CanFrame& frame);
    std::optional<Received> receive_sdo(const CanFrame& frame);
    void obey(std::uint16_t control_word);
    void go_to(cia402::State state);
    void rest_at_present_position();

    Drive drive_;
    Joint joint_;
    double counts_per_unit_;
    cia402::NmtState network_{cia402::NmtState::kBootUp};
    cia402::State state_{cia402::State::kSwitchOnDisabled};
    std::int8_t mode_{0};  // none yet
    std::uint16_t control_word_{0};
    std::uint16_t error_code_{0};
    bool error_changed_{false};
    double input_{0.0};
    double input_vel_max_abs_{0.0};
};

}  // namespace holdfast::plant
