// The drives' side of a profile: takes the frames of a host, demands motion of its joint, reports. No clock,
// no I/O.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "drive/profile.hpp"
#include "link/link.hpp"
#include "plant/joint.hpp"
#include "robot/config.hpp"

namespace holdfast::plant {

// What a received frame meant, for the record.
struct Received {
    std::optional<double> value{};    // input: channel units; state and mode: their number; else none
    std::optional<CanFrame> reply{};  // what the drive answers at once
};

// What a drive has to say in this period.
struct Due {
    bool feedback{};
    bool heartbeat{};
};

class SimulatedDrive {
  public:
    virtual ~SimulatedDrive() = default;

    [[nodiscard]] virtual bool hears(const CanFrame& frame) const = 0;
    // Acts on a frame that it hears. Empty: malformed, unknown or not finite; nothing has changed.
    virtual std::optional<Received> receive(const CanFrame& frame) = 0;
    // Moves the joint on by one time step.
    virtual void step(double dt_s) = 0;
    // `measured` is what its encoder says of the joint.
    [[nodiscard]] virtual DriveFrames feedback(Due due, const JointState& measured) = 0;
    // True: feedback is asked for by a SYNC and not sent by itself.
    [[nodiscard]] virtual bool reports_on_sync() const { return false; }
    // The drive fails: error `code` of its profile, no torque until errors are cleared.
    virtual void fail(std::uint32_t code) = 0;

    // The profile's own number of what a frame asks for.
    [[nodiscard]] virtual std::uint32_t command_number(const CanFrame& frame) const = 0;
    [[nodiscard]] virtual const char* state_name() const = 0;
    [[nodiscard]] virtual const char* mode_name() const = 0;
    [[nodiscard]] virtual std::uint32_t axis_error() const = 0;
    [[nodiscard]] virtual double input() const = 0;
    // The largest velocity that was ever asked for.
    [[nodiscard]] virtual double input_vel_max_abs() const = 0;
    [[nodiscard]] virtual Joint& joint() = 0;
};

[[nodiscard]] std::unique_ptr<SimulatedDrive> make_simulated_drive(const RobotConfig& config,
                                                                   std::size_t drive);

}  // namespace holdfast::plant
