// The whole filter between a controller's wishes and the drives (DESIGN rules 2, 5 and 6): each channel by
// itself (shield.hpp), then what channels owe to each other: couplings, the workspace, distance zones. Pure:
// no clock or I/O, no allocation after construction; one thread at a time. Tier-1, holdfast-verify and the
// tests use this same object.
//
// The rules between channels are kept by one promise: when every channel goes to standstill from here, each
// along its own stopping path, no rule is broken on the way. A step is only taken if the promise holds after
// it; otherwise it is scaled back toward the step of the stop, which keeps it. Limits, rates, accelerations
// and jerks are kept by any mixture of two steps that keep them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "robot/config.hpp"
#include "shield/coupling.hpp"
#include "shield/shield.hpp"
#include "shield/workspace.hpp"
#include "shield/zone.hpp"

namespace holdfast {

struct ShieldInput {
    std::span<const double> wish;              // one a command channel
    std::uint32_t set{};                       // bit per channel; the others keep their default, or hold
    std::span<const StateSample> state;        // one a state channel
    std::span<const AxisVelocity> velocity{};  // one a command channel, or empty: not known
    bool follow{};                             // false: every channel goes to standstill
};

class Shield {
  public:
    explicit Shield(const RobotConfig& config);

    // One frame: the value for each command channel. `dt_s` is the measured time since the last one.
    std::span<const double> filter(const ShieldInput& input, double dt_s);

    // A position channel whose drive is enabled or moved by hand: see ChannelHistory.
    void forget(std::size_t channel) { history_[channel] = {}; }
    void forget_positions();
    [[nodiscard]] const ChannelHistory& history(std::size_t channel) const { return history_[channel]; }
    // False: what is measured of the channel is not known (yet). Any number would be a move: send none.
    [[nodiscard]] bool has_value(std::size_t channel) const;
    [[nodiscard]] const ShieldCounts& counts() const { return counts_; }

  private:
    enum class Action : std::uint8_t { kStop, kHold, kFollow };
    struct Mimic {
        std::size_t leader{};
        std::size_t follower{};
        double multiplier{};
        double offset{};
        double tolerance{};
        bool waiting{};  // the leader, until the follower stands where it should
        [[nodiscard]] double image(double value) const { return multiplier * value + offset; }
    };
    // Channels that are slowed down together.
    struct Group {
        std::uint32_t channels{};
        std::vector<CouplingRule> couplings;
        std::optional<WorkspaceRule> workspace;
    };

    void add_mimic(const Coupling& coupling);
    void add_group(std::span<const std::size_t> channels, Group group);
    void choose(const ShieldInput& input, double dt_s);
    void follow_leaders(const ShieldInput& input);
    void follow_to_stop(const Mimic& mimic);
    [[nodiscard]] double led_to(std::size_t leader) const;
    void count_wish(const Mimic& mimic, const ShieldInput& input);
    void hold_one_place(const Mimic& mimic);
    [[nodiscard]] bool must_wait(const Mimic& mimic) const;
    void stop_together(const ShieldInput& input, double dt_s);
    [[nodiscard]] bool group_must_stop(const Group& group, const ShieldInput& input, double dt_s);
    [[nodiscard]] bool awaits_start(std::size_t channel, double dt_s) const;
    double filter_channel(std::size_t channel, double dt_s);
    void keep_group(Group& group, std::span<const StateSample> state, double dt_s);
    [[nodiscard]] bool wants_more_than_stop(const Group& group, double step_s);
    [[nodiscard]] double possible_share(Group& group, std::span<const StateSample> state);
    void mix(const Group& group, double share);
    [[nodiscard]] bool couplings_broken(const Group& group) const;
    [[nodiscard]] bool workspace_broken(Group& group, std::span<const StateSample> state);
    void look_at_start(Group& group, std::span<const StateSample> state);
    [[nodiscard]] static double allowed(double at_start);
    [[nodiscard]] static bool worse(double worst, double at_start, double at_end);

    const RobotConfig& config_;
    std::vector<ChannelRules> rules_;
    std::vector<Mimic> mimics_;
    std::vector<Group> groups_;
    Zones zones_;

    std::array<ChannelHistory, kMaxCommandChannels> history_{};
    ShieldCounts counts_;

    // Of one call of filter().
    std::array<Action, kMaxCommandChannels> action_{};
    std::array<double, kMaxCommandChannels> wish_{};
    std::array<ChannelContext, kMaxCommandChannels> context_{};
    std::array<double, kMaxCommandChannels> sent_{};
    std::array<Motion, kMaxCommandChannels> before_{};
    std::array<Motion, kMaxCommandChannels> stopped_{};  // one step of the stop
    std::array<Motion, kMaxCommandChannels> meant_{};    // what each channel's own filter gave
    std::array<Path, kMaxCommandChannels> paths_{};
    std::array<double, kMaxCouplings> coupling_at_start_{};
    double workspace_at_start_{};
};

}  // namespace holdfast
