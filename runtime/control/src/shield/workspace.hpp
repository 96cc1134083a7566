// The [workspace]: the tools' frames inside the allowed boxes and outside the keep-out boxes, along the whole
// stopping path of the joints. Real-time threads; no allocation after construction.
#pragma once

#include <Eigen/Core>
#include <array>
#include <span>
#include <vector>

#include "kinematics/forward.hpp"
#include "robot/config.hpp"
#include "shield/path.hpp"
#include "shield/zone.hpp"

namespace holdfast {

class WorkspaceRule {
  public:
    WorkspaceRule(const RobotConfig& config, const Workspace& workspace);

    // How far the tools are outside what is allowed, m; 0: they are not. `paths` holds one a command channel,
    // `state` one a state channel.
    [[nodiscard]] double excess_at_start(std::span<const Path> paths, std::span<const StateSample> state);
    [[nodiscard]] double excess_at_end(std::span<const Path> paths, std::span<const StateSample> state);
    // From where excess_at_start() was asked for last, in one step to where the paths begin, and on along
    // them. Never below the true value, but that the rest of the way is not looked at any more where it
    // is above `enough_m` already.
    [[nodiscard]] double worst_excess(std::span<const Path> paths, std::span<const StateSample> state,
                                      double enough_m);

    // A joint that is only measured is of use while it is fresh.
    [[nodiscard]] bool joints_known(std::span<const StateSample> state) const;
    [[nodiscard]] std::span<const std::size_t> channels() const { return channels_; }
    // Joint values in, tools out: what is judged, for tests and displays.
    void place(std::span<const double> q, std::span<Eigen::Vector3d> tools) { forward_.place(q, tools); }

  private:
    using Tools = std::array<Eigen::Vector3d, kMaxTools>;
    using Bulges = std::array<double, kMaxTools>;

    [[nodiscard]] double longest_s(std::span<const Path> paths) const;
    void place_at(std::span<const Path> paths, std::span<const StateSample> state, double time_s);
    [[nodiscard]] double excess_placed() const;
    [[nodiscard]] double excess_of_piece(const Tools& from, const Bulges& bulge_m) const;
    [[nodiscard]] bool clear_of_all(std::span<const Path> paths, const Bulges& step_bulge_m) const;
    [[nodiscard]] double step_bulge_m(std::size_t tool) const;
    [[nodiscard]] double curvature(std::size_t tool, std::span<const Path> paths) const;

    kinematics::Forward forward_;
    Workspace workspace_;
    std::vector<std::size_t> channels_;
    std::vector<double> q_;
    std::vector<double> start_q_;
    // [tool * joints + joint]: how far the tool goes for one unit of the joint, at most; 0: not at all
    std::vector<double> lever_m_;
    Tools tools_{};
    Tools start_{};
    double start_excess_{};
    std::size_t tool_count_;
};

}  // namespace holdfast
