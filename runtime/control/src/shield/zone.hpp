// The [[zone]]s: how close something is, and how fast the robot may be. Rule 6: a distance that is missing,
// stale, not finite or not positive (a camera that sees nothing reports zero) is a hazard. Real-time threads.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "robot/config.hpp"

namespace holdfast {

// One state channel as it is known now.
struct StateSample {
    double value{};
    bool fresh{};  // within its age limit
};

struct ZoneVerdict {
    bool stop{};
    double speed_scale{1.0};  // 0 to 1, of every channel's rate
};

class Zones {
  public:
    explicit Zones(const std::vector<Zone>& zones) : zones_(zones) {}

    // `state` holds one sample a state channel.
    [[nodiscard]] ZoneVerdict look(std::span<const StateSample> state);

  private:
    std::vector<Zone> zones_;
    std::array<bool, kMaxZones> stopped_{};
};

}  // namespace holdfast
