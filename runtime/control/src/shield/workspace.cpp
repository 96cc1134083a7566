#include "shield/workspace.hpp"

#include <algorithm>
#include <cmath>

#include "shield/box.hpp"

namespace holdfast {
namespace {

// The stopping path is looked at in this many pieces, each with what it may bulge beside the straight line.
constexpr int kPieces = 8;

double max_extension_m(const RobotConfig& config, const JointSource& source) {
    Range range;
    if (source.command) {
        const CommandChannel& command = config.commands[*source.command];
        range = command.limits;
        if (command.kind == ChannelKind::kVelocity)
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): no robot.toml without it is read
            range = command.position_limits.value_or(config.states[*command.position_state].limits);
    } else if (source.state) {
        range = config.states[*source.state].limits;
    }
    return std::max(std::abs(range.min), std::abs(range.max));
}

}  // namespace

WorkspaceRule::WorkspaceRule(const RobotConfig& config, const Workspace& workspace)
    : forward_(workspace.model, workspace.tools),
      workspace_(workspace),
      q_(workspace.model.joints.size()),
      start_q_(q_),
      tool_count_(workspace.tools.size()) {
    std::vector<double> extension;
    for (const JointSource& source : workspace.sources) {
        if (source.command) channels_.push_back(*source.command);
        extension.push_back(max_extension_m(config, source));
    }
    for (std::size_t tool = 0; tool < tool_count_; ++tool) {
        for (std::size_t joint = 0; joint < q_.size(); ++joint) {
            const bool turns = workspace_.model.joints[joint].type == kinematics::JointType::kRevolute;
            const double lever = turns ? forward_.reach_m(tool, joint, extension) : 1.0;
            lever_m_.push_back(forward_.moves(tool, joint) ? lever : 0.0);
        }
    }
}

bool WorkspaceRule::joints_known(std::span<const StateSample> state) const {
    return std::ranges::all_of(workspace_.sources, [&](const JointSource& source) {
        return !source.state || (state[*source.state].fresh && std::isfinite(state[*source.state].value));
    });
}

double WorkspaceRule::longest_s(std::span<const Path> paths) const {
    double longest = 0.0;
    for (const std::size_t channel : channels_) longest = std::max(longest, paths[channel].duration_s);
    return longest;
}

void WorkspaceRule::place_at(std::span<const Path> paths, std::span<const StateSample> state, double time_s) {
    for (std::size_t joint = 0; joint < q_.size(); ++joint) {
        const JointSource& source = workspace_.sources[joint];
        if (source.command) {
            const Path& path = paths[*source.command];
            q_[joint] = path.stop.at(path.from, time_s).position;
        } else if (source.state) {
            q_[joint] = state[*source.state].value;
        }
    }
    forward_.place(q_, tools_);
}

double WorkspaceRule::excess_placed() const {
    double worst = 0.0;
    for (std::size_t tool = 0; tool < tool_count_; ++tool) {
        const Eigen::Vector3d& point = tools_[tool];
        worst = std::max({worst, outside_all(workspace_.boxes, point, workspace_.margin_m),
                          inside_any(workspace_.keep_out, point, workspace_.margin_m)});
    }
    return worst;
}

double WorkspaceRule::excess_at_start(std::span<const Path> paths, std::span<const StateSample> state) {
    place_at(paths, state, 0.0);
    start_ = tools_;
    std::ranges::copy(q_, start_q_.begin());
    start_excess_ = excess_placed();
    return start_excess_;
}

double WorkspaceRule::excess_at_end(std::span<const Path> paths, std::span<const StateSample> state) {
    place_at(paths, state, longest_s(paths));
    return excess_placed();
}

// An upper bound of the tool's acceleration on the path: each joint's own, and what turning joints add to the
// speed of those after them (centripetal and Coriolis, hence 2).
double WorkspaceRule::curvature(std::size_t tool, std::span<const Path> paths) const {
    double direct = 0.0;
    double turning = 0.0;
    double speed = 0.0;
    for (std::size_t joint = 0; joint < q_.size(); ++joint) {
        const JointSource& source = workspace_.sources[joint];
        const double lever = lever_m_[tool * q_.size() + joint];
        if (!source.command || lever == 0.0) continue;
        const Path& path = paths[*source.command];
        const bool turns = workspace_.model.joints[joint].type == kinematics::JointType::kRevolute;
        direct += lever * path.peak_acceleration;
        speed += lever * path.peak_velocity;
        if (turns) turning += path.peak_velocity;
    }
    return direct + 2.0 * turning * speed;
}

// How far the tool may be from the straight line in the middle of a step, in which each joint goes evenly
// from where it began to where it is placed. (That drives do not keep step within a cycle is the margin's.)
double WorkspaceRule::step_bulge_m(std::size_t tool) const {
    double direct = 0.0;
    double turning = 0.0;
    for (std::size_t joint = 0; joint < q_.size(); ++joint) {
        const double moved = std::abs(q_[joint] - start_q_[joint]);
        direct += lever_m_[tool * q_.size() + joint] * moved;
        if (workspace_.model.joints[joint].type == kinematics::JointType::kRevolute) turning += moved;
    }
    return turning * direct / 4.0;
}

// Far from every face the whole path is in a ball around where it begins, and nothing else has to be looked
// at.
bool WorkspaceRule::clear_of_all(std::span<const Path> paths, const Bulges& step_bulge_m) const {
    for (std::size_t tool = 0; tool < tool_count_; ++tool) {
        const Eigen::Vector3d& point = tools_[tool];
        double ball = workspace_.margin_m + step_bulge_m[tool] + (point - start_[tool]).norm();
        for (std::size_t joint = 0; joint < q_.size(); ++joint) {
            const JointSource& source = workspace_.sources[joint];
            if (!source.command) continue;
            const Path& path = paths[*source.command];
            ball += lever_m_[tool * q_.size() + joint] * path.peak_velocity * path.duration_s;
        }
        if (outside_all(workspace_.boxes, point, ball) > 0.0 ||
            inside_any(workspace_.keep_out, point, ball) > 0.0)
            return false;
    }
    return true;
}

double WorkspaceRule::excess_of_piece(const Tools& from, const Bulges& bulge_m) const {
    double worst = 0.0;
    for (std::size_t tool = 0; tool < tool_count_; ++tool) {
        const Way way{from[tool], tools_[tool], bulge_m[tool]};
        worst = std::max({worst, outside_all(workspace_.boxes, way, workspace_.margin_m),
                          inside_any(workspace_.keep_out, way, workspace_.margin_m)});
    }
    return worst;
}

double WorkspaceRule::worst_excess(std::span<const Path> paths, std::span<const StateSample> state,
                                   double enough_m) {
    place_at(paths, state, 0.0);
    // On the way back from outside, the bulge would hide that each place is nearer.
    const double bulges = start_excess_ > kStartRounding ? 0.0 : 1.0;
    Bulges bulge{};
    for (std::size_t tool = 0; tool < tool_count_; ++tool) bulge[tool] = bulges * step_bulge_m(tool);
    if (clear_of_all(paths, bulge)) return 0.0;
    double worst = excess_of_piece(start_, bulge);
    const double piece_s = longest_s(paths) / kPieces;
    for (std::size_t tool = 0; tool < tool_count_; ++tool)
        bulge[tool] = bulges * piece_s * piece_s / 8.0 * curvature(tool, paths);
    for (int piece = 1; piece <= kPieces && piece_s > 0.0 && worst <= enough_m; ++piece) {
        const Tools before = tools_;
        place_at(paths, state, piece * piece_s);
        worst = std::max(worst, excess_of_piece(before, bulge));
    }
    return worst;
}

}  // namespace holdfast
