// [[coupling]]: what command channels owe to each other.
#include <algorithm>
#include <cmath>

#include "robot/relation_sections.hpp"

namespace holdfast::robot {
namespace {

constexpr double kAnyMagnitude = 1e9;

class CouplingReader {
  public:
    CouplingReader(Section& section, const RobotConfig& config) : s_(section), config_(config) {}

    Coupling read(std::string name) {
        for (const auto* key : {"kind", "channels"}) s_.require(key);
        coupling_.name = std::move(name);
        const auto kind = s_.choice("kind", {"range", "mimic"});
        read_channels(kind && *kind == 1);
        if (!kind) {
            for (const auto* key : {"factors", "limits", "multiplier", "offset", "tolerance"}) s_.accept(key);
        } else if (*kind == 1) {
            read_mimic();
        } else {
            read_range();
        }
        s_.refuse_unknown_keys();
        return std::move(coupling_);
    }

  private:
    void read_channels(bool mimic) {
        const auto names = s_.texts("channels");
        if (!names) return;
        sound_ = check_number(*names, mimic);
        for (const std::string& name : *names) {
            const auto channel = command_named(config_, name);
            if (!channel) {
                s_.problem("channels",
                           "there is no [[command]] named \"" + name + "\"; add it or correct the name");
                sound_ = false;
            } else if (std::ranges::find(coupling_.channels, *channel) != coupling_.channels.end()) {
                s_.problem("channels", "\"" + name + "\" is named twice; name each channel once");
                sound_ = false;
            } else {
                coupling_.channels.push_back(*channel);
            }
        }
        if (sound_) check_kinds();
    }

    bool check_number(const std::vector<std::string>& names, bool mimic) {
        const bool good =
            mimic ? names.size() == 2 : names.size() >= 2 && names.size() <= kMaxCoupledChannels;
        if (!good) {
            s_.problem("channels", mimic
                                       ? "must be two: the leader and its follower"
                                       : "must be 2 to " + std::to_string(kMaxCoupledChannels) + " channels");
        }
        return good;
    }

    [[nodiscard]] const CommandChannel& channel(std::size_t i) const {
        return config_.commands[coupling_.channels[i]];
    }

    void check_kinds() {
        for (std::size_t i = 0; i < coupling_.channels.size(); ++i) {
            if (channel(i).kind != channel(0).kind) {
                s_.problem("channels", "\"" + channel(i).name + "\" is of another kind than \"" +
                                           channel(0).name + "\"; couple channels of one kind");
                sound_ = false;
                return;
            }
            if (channel(i).kind == ChannelKind::kPosition && !channel(i).max_jerk) {
                s_.problem("channels", "\"" + channel(i).name +
                                           "\" needs a max_jerk: only then its way to standstill is known");
                sound_ = false;
                return;
            }
        }
    }

    [[nodiscard]] bool stops_at_zero() const { return channel(0).kind != ChannelKind::kPosition; }

    void read_range() {
        for (const auto* key : {"multiplier", "offset", "tolerance"})
            s_.forbid(key, "only a coupling of the kind \"mimic\" has it");
        for (const auto* key : {"factors", "limits"}) s_.require(key);
        const auto factors = s_.numbers("factors");
        const auto limits = s_.range("limits");
        coupling_.factors = factors.value_or(std::vector<double>{});
        coupling_.limits = limits.value_or(Range{});
        if (!sound_) return;
        if (factors && factors->size() != coupling_.channels.size()) {
            s_.problem("factors", "must be one for each of the channels");
        } else if (factors && std::ranges::find(*factors, 0.0) != factors->end()) {
            s_.problem("factors", "must not be 0; leave the channel out instead");
        }
        if (limits && stops_at_zero() && (limits->min > 0.0 || limits->max < 0.0))
            s_.problem("limits", "must contain 0, which is the stop of these channels; widen them");
    }

    void read_mimic() {
        for (const auto* key : {"factors", "limits"})
            s_.forbid(key, "only a coupling of the kind \"range\" has it");
        s_.require("tolerance");
        coupling_.mimic = true;
        coupling_.multiplier = s_.number("multiplier").value_or(1.0);
        coupling_.offset = s_.number("offset").value_or(0.0);
        coupling_.tolerance = s_.positive("tolerance", kAnyMagnitude).value_or(1.0);
        coupling_.factors = {-coupling_.multiplier, 1.0};
        coupling_.limits = {coupling_.offset - coupling_.tolerance, coupling_.offset + coupling_.tolerance};
        if (coupling_.multiplier == 0.0) {
            s_.problem("multiplier", "is 0; say how far the follower goes for one unit of the leader");
        } else if (sound_) {
            check_mimic();
        }
    }

    // Only with limits in the same proportion both can follow one motion, and stop alike.
    void check_mimic() {
        if (stops_at_zero() && coupling_.offset != 0.0) {
            s_.problem("offset", "must be 0: the stop of both channels is 0; remove it");
            return;
        }
        const CommandChannel& leader = channel(0);
        const CommandChannel& follower = channel(1);
        const double scale = std::abs(coupling_.multiplier);
        const auto in_proportion = [scale](double of_leader, double of_follower) {
            return std::abs(of_leader * scale - of_follower) <= 1e-6 * of_follower;
        };
        if (!in_proportion(leader.max_rate, follower.max_rate) ||
            !in_proportion(leader.max_accel, follower.max_accel) ||
            leader.max_jerk.has_value() != follower.max_jerk.has_value() ||
            !in_proportion(leader.max_jerk.value_or(0.0), follower.max_jerk.value_or(0.0))) {
            s_.problem("multiplier", "max_rate, max_accel and max_jerk of \"" + follower.name +
                                         "\" are not those of \"" + leader.name +
                                         "\" times it; make them so, or they cannot move together");
            return;
        }
        const double a = leader.limits.min * coupling_.multiplier + coupling_.offset;
        const double b = leader.limits.max * coupling_.multiplier + coupling_.offset;
        if (std::max(a, b) <= follower.limits.min || std::min(a, b) >= follower.limits.max)
            s_.problem("offset", "leads no value of the leader into the follower's limits; correct it");
    }

    Section& s_;
    const RobotConfig& config_;
    Coupling coupling_;
    bool sound_{};  // the channels can be judged
};

// A chain of mimics would have to be followed in its order; one leader for all says the same.
void check_leaders(const std::vector<Section>& sections, const RobotConfig& config) {
    const auto& list = config.couplings;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (!list[i].mimic || list[i].channels.size() != 2) continue;
        for (std::size_t j = 0; j < list.size(); ++j) {
            if (i == j || !list[j].mimic || list[j].channels.size() != 2) continue;
            const bool same_follower = j < i && list[i].channels[1] == list[j].channels[1];
            if (!same_follower && list[i].channels[0] != list[j].channels[1]) continue;
            const std::size_t channel = same_follower ? list[i].channels[1] : list[i].channels[0];
            sections[i].problem("channels", "\"" + config.commands[channel].name +
                                                "\" follows in the coupling \"" + list[j].name +
                                                "\" already; let all follow one leader");
            break;
        }
    }
}

}  // namespace

void read_couplings(const toml::table& root, Problems& problems, RobotConfig& config) {
    EntryNames names("coupling");
    std::vector<Section> sections;
    for (const ListEntry& entry : list_at(root, "coupling", "coupling", kMaxCouplings, problems)) {
        std::string name;
        sections.push_back(names.open(entry, problems, name));
        config.couplings.push_back(CouplingReader(sections.back(), config).read(std::move(name)));
    }
    check_leaders(sections, config);
}

}  // namespace holdfast::robot
