// CiA 402 behind the seam, in the cyclic synchronous position and velocity modes.
//
// The state machine is walked one transition a cycle: command() sends the control word that the last status
// word calls for. Outside enable() it is the one that keeps the drive in its state, so nothing is switched on
// or off by a process that only commands (the safety daemon). A drive that was never heard gets a quick stop:
// in no state does that enable. And none goes into operation, or stays in it, before it has said that it is
// in the mode of its channel: in another one the target would mean something else.
#pragma once

#include "drive/cia402.hpp"
#include "drive/profile.hpp"

namespace holdfast::cia402 {

class Profile final : public DriveProfile {
  public:
    Profile(const Drive& drive, ChannelKind kind);

    DriveFrames command(double value) override;
    DriveFrames enable() override;
    void cancel_enable() override { enabling_cycles_ = 0; }
    DriveFrames clear_errors() override;
    DriveFrames idle() override;
    std::vector<std::uint32_t> reports() const override;
    std::optional<DriveSample> decode(const CanFrame& frame) override;
    DriveFrames upkeep() override;
    std::optional<CanFrame> sync() const override;

  private:
    [[nodiscard]] std::uint16_t control_word();
    [[nodiscard]] std::uint16_t word_towards_operation() const;
    [[nodiscard]] std::uint16_t word_that_keeps() const;
    [[nodiscard]] std::int32_t resting_target() const;
    [[nodiscard]] CanFrame rpdo(std::uint16_t control_word, std::int32_t target) const;
    [[nodiscard]] DriveSample decode_status(const CanFrame& frame);
    [[nodiscard]] DriveSample decode_heartbeat(const CanFrame& frame);
    [[nodiscard]] DriveSample decode_emergency(const CanFrame& frame);
    [[nodiscard]] std::optional<DriveSample> decode_sdo(const CanFrame& frame);
    [[nodiscard]] bool in_fault() const;
    [[nodiscard]] std::uint32_t error() const;

    std::uint32_t node_;
    double counts_per_unit_;
    Mode mode_;
    std::optional<State> state_;
    bool right_mode_{false};              // by its last status: it is in mode_
    std::optional<std::int32_t> target_;  // last one sent
    int enabling_cycles_{0};              // left of an enable()
    bool reset_fault_{false};             // next control word has the rising edge
    bool idling_{false};
    bool needs_start_{false};
    std::uint16_t emergency_{0};
    bool mode_refused_{false};
};

}  // namespace holdfast::cia402
