// ODrive CANSimple behind the seam. The drive keeps its own state: every request is frames and nothing else.
#pragma once

#include "drive/cansimple.hpp"
#include "drive/profile.hpp"

namespace holdfast::cansimple {

class Profile final : public DriveProfile {
  public:
    Profile(const Drive& drive, ChannelKind kind) : drive_(drive), kind_(kind) {}

    DriveFrames command(double value) override { return DriveFrames(command_frame(drive_, kind_, value)); }
    DriveFrames enable() override;
    DriveFrames clear_errors() override { return DriveFrames(clear_errors_frame(drive_)); }
    DriveFrames idle() override { return DriveFrames(idle_frame(drive_)); }
    std::vector<std::uint32_t> reports() const override { return cansimple::reports(drive_); }
    std::optional<DriveSample> decode(const CanFrame& frame) override {
        return cansimple::decode(drive_, frame);
    }

  private:
    Drive drive_;
    ChannelKind kind_;
};

}  // namespace holdfast::cansimple
