#include "shield/robot_shield.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "shield/rounding.hpp"

namespace holdfast {
namespace {

// How finely a step is scaled back: 1/32 of it.
constexpr int kHalvings = 5;

std::uint32_t bit(std::size_t channel) { return std::uint32_t{1} << channel; }

// The channels of a set, lowest first.
template <typename Function>
void for_each(std::uint32_t channels, Function function) {
    for (; channels != 0; channels &= channels - 1)
        function(static_cast<std::size_t>(std::countr_zero(channels)));
}

double between(double a, double b, double share) { return a + share * (b - a); }

Motion between(const Motion& a, const Motion& b, double share) {
    return {between(a.position, b.position, share), between(a.velocity, b.velocity, share),
            between(a.acceleration, b.acceleration, share)};
}

ChannelContext context_of(const CommandChannel& channel, std::span<const StateSample> state) {
    if (!channel.position_state) return {};
    const StateSample& sample = state[*channel.position_state];
    return {.position = sample.value, .position_fresh = sample.fresh};
}

bool start_within(const ChannelRules& rules, const Motion& start) {
    return inside(rules.limits, rules.kind == ChannelKind::kPosition ? start.position : start.velocity);
}

bool measured(const ChannelContext& context) {
    return context.position_fresh && std::isfinite(context.position);
}

}  // namespace

Shield::Shield(const RobotConfig& config) : config_(config), zones_(config.zones) {
    for (const CommandChannel& channel : config.commands) rules_.push_back(rules_of(channel));
    for (const Coupling& coupling : config.couplings) {
        if (coupling.mimic) add_mimic(coupling);
        add_group(coupling.channels, {.channels = 0, .couplings = {CouplingRule(coupling)}, .workspace = {}});
    }
    if (!config.workspace) return;
    WorkspaceRule workspace(config, *config.workspace);
    const std::vector<std::size_t> channels(workspace.channels().begin(), workspace.channels().end());
    add_group(channels, {.channels = 0, .couplings = {}, .workspace = std::move(workspace)});
}

// The leader may only go where its follower can go too.
void Shield::add_mimic(const Coupling& coupling) {
    const Mimic mimic{coupling.channels[0], coupling.channels[1], coupling.multiplier, coupling.offset,
                      coupling.tolerance};
    const Range& follower = rules_[mimic.follower].limits;
    const double a = (follower.min - mimic.offset) / mimic.multiplier;
    const double b = (follower.max - mimic.offset) / mimic.multiplier;
    Range& limits = rules_[mimic.leader].limits;
    limits = {std::max(limits.min, std::min(a, b)), std::min(limits.max, std::max(a, b))};
    mimics_.push_back(mimic);
}

// Groups that share a channel become one.
void Shield::add_group(std::span<const std::size_t> channels, Group group) {
    for (const std::size_t channel : channels) group.channels |= bit(channel);
    std::erase_if(groups_, [&group](Group& other) {
        if ((other.channels & group.channels) == 0) return false;
        group.channels |= other.channels;
        if (other.workspace) group.workspace = std::move(other.workspace);
        group.couplings.insert(group.couplings.end(), other.couplings.begin(), other.couplings.end());
        return true;
    });
    groups_.push_back(std::move(group));
}

bool Shield::has_value(std::size_t channel) const {
    return rules_[channel].kind == ChannelKind::kEffort || history_[channel].started;
}

void Shield::forget_positions() {
    for (std::size_t c = 0; c < rules_.size(); ++c) {
        if (rules_[c].kind == ChannelKind::kPosition) forget(c);
    }
}

std::span<const double> Shield::filter(const ShieldInput& input, double dt_s) {
    choose(input, dt_s);
    for (std::size_t c = 0; c < rules_.size(); ++c) sent_[c] = filter_channel(c, dt_s);
    for (Group& group : groups_) keep_group(group, input.state, dt_s);
    return {sent_.data(), rules_.size()};
}

void Shield::choose(const ShieldInput& input, double dt_s) {
    const ZoneVerdict zone = zones_.look(input.state);
    const bool follow = input.follow && !zone.stop;
    if (input.follow && zone.stop) ++counts_.zone_stop;
    if (follow && zone.speed_scale < 1.0) ++counts_.zone_slow;
    for (std::size_t c = 0; c < rules_.size(); ++c) {
        const CommandChannel& channel = config_.commands[c];
        const bool set = (input.set & bit(c)) != 0;
        const bool hold = !set && channel.kind == ChannelKind::kPosition;
        context_[c] = context_of(channel, input.state);
        if (!input.velocity.empty()) context_[c].velocity = input.velocity[c];
        wish_[c] = set ? input.wish[c] : channel.default_value;
        action_[c] = !follow ? Action::kStop : hold ? Action::kHold : Action::kFollow;
        rules_[c].speed_scale = follow ? zone.speed_scale : 1.0;
    }
    stop_together(input, dt_s);
    follow_leaders(input);
}

// A channel that has to stop takes those with it that owe something to it.
void Shield::stop_together(const ShieldInput& input, double dt_s) {
    for (const Group& group : groups_) {
        if (!group_must_stop(group, input, dt_s)) continue;
        for_each(group.channels, [this](std::size_t c) { action_[c] = Action::kStop; });
    }
}

bool Shield::group_must_stop(const Group& group, const ShieldInput& input, double dt_s) {
    bool stop = group.workspace && !group.workspace->joints_known(input.state);
    if (!(dt_s > 0.0 && std::isfinite(dt_s))) ++counts_.conflict;
    for_each(group.channels, [&](std::size_t c) {
        const bool follows = action_[c] == Action::kFollow;
        if (follows && !std::isfinite(wish_[c])) ++counts_.not_finite;
        const bool needed = group.workspace && config_.commands[c].position_state && !measured(context_[c]);
        stop = stop || action_[c] == Action::kStop || needed || awaits_start(c, dt_s) ||
               must_stop(rules_[c], follows ? wish_[c] : 0.0, context_[c], dt_s);
    });
    return stop;
}

bool Shield::awaits_start(std::size_t channel, double dt_s) const {
    const bool starts = !history_[channel].started || dt_s > kMaxStepS;
    return starts && rules_[channel].kind == ChannelKind::kVelocity && context_[channel].velocity.awaited;
}

// Hazard: two drives on one axis that hold what each of them measures pull against each other.
// Only of positions: the tolerance of velocities says nothing of where the two are.
void Shield::hold_one_place(const Mimic& mimic) {
    if (rules_[mimic.follower].kind != ChannelKind::kPosition) return;
    const ChannelContext& leader = context_[mimic.leader];
    ChannelContext& follower = context_[mimic.follower];
    if (!history_[mimic.follower].started || !measured(leader) || !measured(follower)) return;
    const double rest = mimic.image(leader.position);
    if (std::abs(rest - follower.position) <= mimic.tolerance) follower.hold = rest;
}

// Every mimic is looked at before any follower is led: one that waits stops the leader of others too.
void Shield::follow_leaders(const ShieldInput& input) {
    std::uint32_t waiting = 0;  // leaders
    for (Mimic& mimic : mimics_) {
        hold_one_place(mimic);
        if (action_[mimic.leader] == Action::kStop) continue;
        count_wish(mimic, input);
        mimic.waiting = must_wait(mimic);
        if (mimic.waiting) waiting |= bit(mimic.leader);
    }
    for (const Mimic& mimic : mimics_) {
        if ((waiting & bit(mimic.leader)) != 0) {
            follow_to_stop(mimic);
        } else if (action_[mimic.leader] != Action::kStop) {
            wish_[mimic.follower] = mimic.image(led_to(mimic.leader));
            action_[mimic.follower] = action_[mimic.leader];
        }
    }
}

// The leader waits: each of its followers goes to the place that belongs to where it comes to rest.
void Shield::follow_to_stop(const Mimic& mimic) {
    const ChannelRules& rules = rules_[mimic.leader];
    const Motion ahead = motion_of(rules, history_[mimic.leader], context_[mimic.leader]);
    const double rest = rules.kind == ChannelKind::kPosition ? stopping_point(ahead, rules.motion) : 0.0;
    wish_[mimic.follower] = mimic.image(rest);
    action_[mimic.follower] = Action::kFollow;
    action_[mimic.leader] = Action::kStop;
}

// Where the leader goes by its wish.
double Shield::led_to(std::size_t leader) const {
    return std::clamp(wish_[leader], rules_[leader].limits.min, rules_[leader].limits.max);
}

// The follower's own wish is not looked at, but for counting.
void Shield::count_wish(const Mimic& mimic, const ShieldInput& input) {
    if ((input.set & bit(mimic.follower)) == 0) return;
    const double off = std::abs(wish_[mimic.follower] - mimic.image(led_to(mimic.leader)));
    if (!(off <= mimic.tolerance)) ++counts_.coupling;
}

// Out of tolerance, or not in one motion: the two would drift apart. It ends when both stand in their places.
bool Shield::must_wait(const Mimic& mimic) const {
    constexpr double kInOneMotion = 1e-6;
    const ChannelHistory& ahead = history_[mimic.leader];
    const ChannelHistory& behind = history_[mimic.follower];
    if (!ahead.started || !behind.started || !inside(rules_[mimic.leader].limits, ahead.sent)) return false;
    const bool position = rules_[mimic.leader].kind == ChannelKind::kPosition;
    const double apart = std::abs(behind.sent - mimic.image(ahead.sent));
    const double drift = position ? std::abs(behind.velocity - mimic.multiplier * ahead.velocity) : 0.0;
    if (apart > mimic.tolerance + kRuleRounding || drift > kInOneMotion) return true;
    const bool stand = !position || (ahead.velocity == 0.0 && behind.velocity == 0.0);
    return mimic.waiting && (!stand || apart > mimic.tolerance / 2.0);
}

double Shield::filter_channel(std::size_t channel, double dt_s) {
    const ChannelRules& rules = rules_[channel];
    const ChannelContext& context = context_[channel];
    ChannelHistory& history = history_[channel];
    if (prepare(rules, context, dt_s, history)) before_[channel] = motion_of(rules, history, context);
    if (action_[channel] != Action::kFollow) return safe_command(rules, context, dt_s, history);
    return shield_command(rules, wish_[channel], context, dt_s, history, counts_);
}

// Mixes the step that was meant with the step of the stop until no rule between channels is broken.
void Shield::keep_group(Group& group, std::span<const StateSample> state, double dt_s) {
    bool known = !group.workspace || group.workspace->joints_known(state);
    for_each(group.channels, [&](std::size_t c) { known = known && has_value(c); });
    if (!known || !wants_more_than_stop(group, step_time(dt_s))) return;
    look_at_start(group, state);
    mix(group, 1.0);
    const bool coupling = couplings_broken(group);
    const bool workspace = workspace_broken(group, state);
    if (!coupling && !workspace) return;
    if (coupling) ++counts_.coupling;
    if (workspace) ++counts_.workspace;
    mix(group, possible_share(group, state));
    for_each(group.channels, [&](std::size_t c) {
        take_over(rules_[c], paths_[c].from, history_[c]);
        const Range& limits = rules_[c].limits;
        if (start_within(rules_[c], before_[c]))
            history_[c].sent = std::clamp(history_[c].sent, limits.min, limits.max);
        sent_[c] = history_[c].sent;
    });
}

// Sets up both steps. False: what is meant is the stop itself, whose way was looked at before.
bool Shield::wants_more_than_stop(const Group& group, double step_s) {
    bool more = false;
    for_each(group.channels, [&](std::size_t c) {
        const ChannelRules& rules = rules_[c];
        meant_[c] = motion_of(rules, history_[c], context_[c]);
        stopped_[c] = stop_of(before_[c], rules.motion).at(before_[c], step_s);
        paths_[c] = path_of(rules, before_[c]);
        if (rules.kind != ChannelKind::kPosition) {
            // The measured position, and one step at the new value before it can be changed again.
            meant_[c].position = context_[c].position + meant_[c].velocity * step_s;
            stopped_[c].position = context_[c].position + stopped_[c].velocity * step_s;
        }
        more = more || meant_[c].velocity != stopped_[c].velocity ||
               (rules.kind == ChannelKind::kPosition && meant_[c].position != stopped_[c].position);
    });
    return more;
}

double Shield::possible_share(Group& group, std::span<const StateSample> state) {
    double possible = 0.0;
    double too_much = 1.0;
    for (int i = 0; i < kHalvings; ++i) {
        const double middle = (possible + too_much) / 2.0;
        mix(group, middle);
        const bool broken = couplings_broken(group) || workspace_broken(group, state);
        (broken ? too_much : possible) = middle;
    }
    return possible;
}

void Shield::mix(const Group& group, double share) {
    for_each(group.channels,
             [&](std::size_t c) { paths_[c] = path_of(rules_[c], between(stopped_[c], meant_[c], share)); });
}

// Broken already, before this step: the rules contradict each other until the way back is done.
void Shield::look_at_start(Group& group, std::span<const StateSample> state) {
    bool broken = false;
    for (std::size_t i = 0; i < group.couplings.size(); ++i) {
        coupling_at_start_[i] = group.couplings[i].excess_at_start(paths_);
        broken = broken || coupling_at_start_[i] > kStartRounding;
    }
    if (group.workspace) {
        workspace_at_start_ = group.workspace->excess_at_start(paths_, state);
        broken = broken || workspace_at_start_ > kStartRounding;
    }
    if (broken) ++counts_.conflict;
}

// From within, nothing may leave; from without, each step has to lead nearer.
double Shield::allowed(double at_start) {
    return at_start <= kStartRounding ? std::max(kRuleRounding, at_start) : at_start + kRuleRounding;
}

bool Shield::worse(double worst, double at_start, double at_end) {
    return worst > allowed(at_start) || (at_start > kStartRounding && at_end >= at_start);
}

bool Shield::couplings_broken(const Group& group) const {
    for (std::size_t i = 0; i < group.couplings.size(); ++i) {
        const CouplingRule& rule = group.couplings[i];
        if (worse(rule.worst_excess(paths_), coupling_at_start_[i], rule.excess_at_end(paths_))) return true;
    }
    return false;
}

bool Shield::workspace_broken(Group& group, std::span<const StateSample> state) {
    if (!group.workspace) return false;
    const double at_end =
        workspace_at_start_ <= kStartRounding ? 0.0 : group.workspace->excess_at_end(paths_, state);
    const double worst = group.workspace->worst_excess(paths_, state, allowed(workspace_at_start_));
    return worse(worst, workspace_at_start_, at_end);
}

}  // namespace holdfast
