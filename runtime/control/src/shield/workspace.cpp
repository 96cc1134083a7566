#include "shield/workspace.hpp"

#include <algorithm>
#include <cmath>

#include "shield/box.hpp"

namespace holdfast {
namespace {

// The stopping path is looked at in this many straight pieces; what a piece may bulge is added to the margin.
constexpr int kPieces = 8;

double max_extension_m(const RobotConfig& config, const JointSource& source) {
    Range range;
    if (source.command) {
        const CommandChannel& command = config.commands[*source.command];
        range = command.limits;
        if (command.kind == ChannelKind::kVelocity)
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
      tool_count_(workspace.tools.size()) {
    std::vector<double> extension;
    for (const JointSource& source : workspace.sources) {
        if (source.command) channels_.push_back(*source.command);
        extension.push_back(max_extension_m(config, source));
    }
    for (std::size_t tool = 0; tool < tool_count_; ++tool) {
        for (std::size_t joint = 0; joint < q_.size(); ++joint)
            reach_m_.push_back(forward_.reach_m(tool, joint, extension));
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
                          inside_any(workspace_.keep_out, point, point, workspace_.margin_m)});
    }
    return worst;
}

double WorkspaceRule::excess_at_start(std::span<const Path> paths, std::span<const StateSample> state) {
    place_at(paths, state, 0.0);
    return excess_placed();
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
        if (!source.command || !forward_.moves(tool, joint)) continue;
        const Path& path = paths[*source.command];
        const bool turns = workspace_.model.joints[joint].type == kinematics::JointType::kRevolute;
        const double lever = turns ? reach_m_[tool * q_.size() + joint] : 1.0;
        direct += lever * path.peak_acceleration;
        speed += lever * path.peak_velocity;
        if (turns) turning += path.peak_velocity;
    }
    return direct + 2.0 * turning * speed;
}

double WorkspaceRule::worst_excess(std::span<const Path> paths, std::span<const StateSample> state) {
    place_at(paths, state, 0.0);
    double worst = excess_placed();
    const double piece_s = longest_s(paths) / kPieces;
    if (piece_s == 0.0) return worst;
    for (int piece = 1; piece <= kPieces; ++piece) {
        const Tools before = tools_;
        place_at(paths, state, piece * piece_s);
        for (std::size_t tool = 0; tool < tool_count_; ++tool) {
            const double bulge = piece_s * piece_s / 8.0 * curvature(tool, paths);
            const double margin = workspace_.margin_m + bulge;
            worst = std::max({worst, outside_all(workspace_.boxes, before[tool], tools_[tool], margin),
                              inside_any(workspace_.keep_out, before[tool], tools_[tool], margin)});
        }
    }
    return worst;
}

}  // namespace holdfast
