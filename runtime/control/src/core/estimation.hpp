// The estimate phase of a cycle: what the drives and the IMU said becomes position, velocity and acceleration
// of each joint, and the attitude. Tier-1 thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/drive_bus.hpp"
#include "core/exchange.hpp"
#include "estimate/joints.hpp"

namespace holdfast::core {

// Indices into states, x, y, z each.
struct ImuStates {
    std::array<std::size_t, 3> angular_rate{};
    std::array<std::size_t, 3> acceleration{};
};

// The states of the robot's IMU; empty if it has none.
[[nodiscard]] std::optional<ImuStates> imu_states(const RobotConfig& config);

class Estimation {
  public:
    Estimation(const RobotConfig& config, std::optional<ImuStates> imu);

    void update(const DriveBus& bus, std::int64_t now_ns, double dt_s, Counters& counters);
    // False: the estimate of this command channel's joint has failed, so its measurement is not to be relied
    // on (rule 6). True where nothing is estimated.
    [[nodiscard]] bool trusted(std::size_t command) const { return (failed_ >> command & 1u) == 0; }
    // Bit per command channel that needs a position and is not trusted.
    [[nodiscard]] std::uint32_t untrusted() const { return failed_ & needed_; }
    void publish(shm::StateData& data) const;

  private:
    struct Tracked {
        estimate::Joint joint;
        estimate::JointFilter filter;
        std::int64_t position_ns{};  // of the newest sample that was used
        std::int64_t velocity_ns{};
    };
    struct Attitude {
        ImuStates states;
        estimate::AttitudeFilter filter;
        std::int64_t acceleration_ns{};
    };

    void track(Tracked& tracked, const DriveBus& bus, std::int64_t now_ns, double dt_s, Counters& counters);
    void track(Attitude& attitude, const DriveBus& bus, std::int64_t now_ns, double dt_s, Counters& counters);

    std::vector<Tracked> joints_;
    std::optional<Attitude> attitude_;
    std::uint32_t failed_{0};
    std::uint32_t needed_{0};
};

}  // namespace holdfast::core
