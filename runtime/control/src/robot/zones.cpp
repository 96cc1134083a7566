// [[zone]]: how close something may come.
#include "robot/relation_sections.hpp"

namespace holdfast::robot {
namespace {

constexpr double kFarthestM = 1e3;
constexpr double kHysteresisM = 0.05;

void read_zone(Section& s, const RobotConfig& config, Zone& zone) {
    for (const auto* key : {"distance_state", "slow_below_m", "stop_below_m"}) s.require(key);
    if (const auto name = s.text("distance_state")) {
        const auto state = state_named(config, *name);
        zone.distance_state = state.value_or(0);
        if (!state) {
            s.problem("distance_state",
                      "there is no [[state]] named \"" + *name + "\"; add it or correct the name");
        }
    }
    const auto slow = s.positive("slow_below_m", kFarthestM);
    const auto stop = s.positive("stop_below_m", kFarthestM);
    zone.slow_below_m = slow.value_or(2.0);
    zone.stop_below_m = stop.value_or(1.0);
    if (slow && stop && *slow <= *stop)
        s.problem("slow_below_m", "is not above stop_below_m; slow down before the stop");
    zone.hysteresis_m = s.positive("hysteresis_m", kFarthestM).value_or(kHysteresisM);
    zone.slow_factor = s.positive("slow_factor", 1.0);
    s.refuse_unknown_keys();
}

}  // namespace

void read_zones(const toml::table& root, Problems& problems, RobotConfig& config) {
    EntryNames names("zone");
    for (const ListEntry& entry : list_at(root, "zone", "zone", kMaxZones, problems)) {
        Zone zone;
        Section s = names.open(entry, problems, zone.name);
        read_zone(s, config, zone);
        config.zones.push_back(std::move(zone));
    }
}

}  // namespace holdfast::robot
