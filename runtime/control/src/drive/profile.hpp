// A drive profile turns channel values into frames and frames into samples. One object a drive, chosen once
// at the start from `[[drive]] profile`; no clock, no I/O, and no allocation after make_drive_profile().
// Profiles: ODrive CANSimple (cansimple_profile.hpp) and CiA 402 (cia402_profile.hpp).
//
// The watchdog that a drive keeps on its host (ODrive: axis.config.enable_watchdog; CiA 402: the event timer
// of RPDO1, 1400h:05) is fed by command(): every cycle sends it, so the drive stops by itself when the frames
// stop.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "drive/drive.hpp"
#include "link/link.hpp"

namespace holdfast {

// The frames of one request to a drive, in the order in which they must leave.
class DriveFrames {
  public:
    static constexpr std::size_t kMax = 4;

    DriveFrames() = default;
    explicit DriveFrames(const CanFrame& frame) { add(frame); }
    void add(const CanFrame& frame) {
        if (count_ < kMax) frames_[count_++] = frame;
    }
    [[nodiscard]] const CanFrame* begin() const { return frames_.data(); }
    [[nodiscard]] const CanFrame* end() const { return frames_.data() + count_; }
    [[nodiscard]] std::size_t size() const { return count_; }
    [[nodiscard]] bool empty() const { return count_ == 0; }
    [[nodiscard]] const CanFrame& operator[](std::size_t index) const { return frames_[index]; }

  private:
    std::array<CanFrame, kMax> frames_{};
    std::size_t count_{0};
};

// A velocity that a drive reported is known for this long: no channel has an age limit of its own for it.
inline constexpr std::int64_t kVelocityAgeNs = 20'000'000;

class DriveProfile {
  public:
    virtual ~DriveProfile() = default;

    // Rule 1: the complete frames that carry one value of the channel, each cycle. They keep a drive in the
    // state it is in. A value that is not finite, or too large for the wire, becomes the drive's own stop.
    [[nodiscard]] virtual DriveFrames command(double value) = 0;
    // Clears errors, chooses the mode of the channel and closes the loop: by these frames alone, or by them
    // and by the command() frames of the next hundred cycles. Whoever calls it repeats it until the drive
    // says that it is enabled.
    [[nodiscard]] virtual DriveFrames enable() = 0;
    // Ends what enable() began: no frame of command() goes on with it.
    virtual void cancel_enable() {}
    [[nodiscard]] virtual DriveFrames clear_errors() = 0;
    // Takes the torque away.
    [[nodiscard]] virtual DriveFrames idle() = 0;

    // The identifiers of all frames that decode() may understand.
    [[nodiscard]] virtual std::vector<std::uint32_t> reports() const = 0;
    // Empty if the frame is not from this drive, not known, of the wrong size, or holds a value that is not
    // finite.
    [[nodiscard]] virtual std::optional<DriveSample> decode(const CanFrame& frame) = 0;
    // What the drive needs now and then, apart from commands: at most one frame a cycle, from the core alone.
    [[nodiscard]] virtual DriveFrames upkeep() { return {}; }
    // The frame that asks all drives of this profile on a link for their feedback, once a cycle.
    [[nodiscard]] virtual std::optional<CanFrame> sync() const { return std::nullopt; }
};

// `drive` and its channel's `kind` are copied.
[[nodiscard]] std::unique_ptr<DriveProfile> make_drive_profile(const Drive& drive, ChannelKind kind);

}  // namespace holdfast
