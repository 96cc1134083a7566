// A simulated joint: it moves as its drive demands, within its physical capability. No clock: the caller
// steps it.
#pragma once

#include <optional>

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

// What the drive wants of its joint.
struct Demand {
    bool driven{false};  // false: no torque
    ChannelKind mode{};
    double input{};  // of that mode, channel units
};

class Joint {
  public:
    explicit Joint(Capability capability);
    // Moves on by one time step.
    void step(const Demand& demand, double dt_s);
    // A weight or a push: effort along the joint that its drive has to hold.
    void set_load(double effort) { load_ = effort; }
    [[nodiscard]] const JointState& state() const { return state_; }

  private:
    [[nodiscard]] double acceleration(const Demand& demand, double dt_s) const;
    [[nodiscard]] double acceleration_under_effort(double effort, double dt_s) const;
    void keep_within_end_stops();

    Capability capability_;
    JointState state_;
    double load_{0.0};
};

}  // namespace holdfast::plant
