#include "shield/zone.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {
namespace {

double scale_at(const Zone& zone, double distance_m) {
    if (distance_m >= zone.slow_below_m) return 1.0;
    const double linear = (distance_m - zone.stop_below_m) / (zone.slow_below_m - zone.stop_below_m);
    return std::clamp(zone.slow_factor.value_or(linear), 0.0, 1.0);
}

}  // namespace

ZoneVerdict Zones::look(std::span<const StateSample> state) {
    ZoneVerdict verdict;
    for (std::size_t i = 0; i < zones_.size(); ++i) {
        const Zone& zone = zones_[i];
        const StateSample& distance = state[zone.distance_state];
        const bool known = distance.fresh && std::isfinite(distance.value) && distance.value > 0.0;
        const double enough_m = zone.stop_below_m + (stopped_[i] ? zone.hysteresis_m : 0.0);
        stopped_[i] = !known || distance.value < enough_m;
        verdict.stop = verdict.stop || stopped_[i];
        if (known) verdict.speed_scale = std::min(verdict.speed_scale, scale_at(zone, distance.value));
    }
    return verdict;
}

}  // namespace holdfast
