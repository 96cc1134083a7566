// Forward kinematics: where the tools are for given joint values. No allocation after construction.
#pragma once

#include <Eigen/Core>
#include <span>
#include <vector>

#include "kinematics/model.hpp"

namespace holdfast::kinematics {

class Forward {
  public:
    // A tool is a link of the model.
    Forward(const Model& model, const std::vector<std::size_t>& tools);

    // `q` holds one value a joint of the model (rad or m; those of fixed joints are not looked at), `tools`
    // takes the origin of each tool's frame in the root frame.
    void place(std::span<const double> q, std::span<Eigen::Vector3d> tools);

    // No point of the tool is ever further than this from the joint's own origin, if no prismatic joint after
    // it is extended beyond `max_extension_m` (one a joint). 0: the joint does not move the tool.
    [[nodiscard]] double reach_m(std::size_t tool, std::size_t joint,
                                 std::span<const double> max_extension_m) const;
    [[nodiscard]] bool moves(std::size_t tool, std::size_t joint) const;

  private:
    struct Frame {
        Eigen::Matrix3d rotation{Eigen::Matrix3d::Identity()};
        Eigen::Vector3d translation{Eigen::Vector3d::Zero()};
    };
    struct Body {
        JointType type{};
        std::size_t parent{};  // into frames_; 0 is the root
        Frame origin;
        Eigen::Vector3d axis;
    };

    std::vector<Body> bodies_;        // one a joint
    std::vector<Frame> frames_;       // the root, then one a joint
    std::vector<std::size_t> tools_;  // into frames_
};

}  // namespace holdfast::kinematics
