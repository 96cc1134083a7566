#include "kinematics/forward.hpp"

#include <Eigen/Geometry>
#include <cmath>

namespace holdfast::kinematics {

Forward::Forward(const Model& model, const std::vector<std::size_t>& tools)
    : frames_(model.joints.size() + 1) {
    for (const Joint& joint : model.joints) {
        const auto& [x, y, z, w] = joint.rotation;
        const auto& t = joint.translation;
        bodies_.push_back(
            {joint.type,
             joint.parent ? *joint.parent + 1 : 0,
             {Eigen::Quaterniond(w, x, y, z).normalized().toRotationMatrix(), {t[0], t[1], t[2]}},
             {joint.axis[0], joint.axis[1], joint.axis[2]}});
    }
    for (const std::size_t tool : tools) {
        const auto& joint = model.links[tool].joint;
        tools_.push_back(joint ? *joint + 1 : 0);
    }
}

void Forward::place(std::span<const double> q, std::span<Eigen::Vector3d> tools) {
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
        const Body& body = bodies_[i];
        const Frame& parent = frames_[body.parent];
        Frame& frame = frames_[i + 1];
        frame.translation = parent.rotation * body.origin.translation + parent.translation;
        frame.rotation.noalias() = parent.rotation * body.origin.rotation;
        if (body.type == JointType::kPrismatic) {
            frame.translation += frame.rotation * (body.axis * q[i]);
        } else if (body.type == JointType::kRevolute) {
            const Eigen::Matrix3d turn = Eigen::AngleAxisd(q[i], body.axis).toRotationMatrix();
            frame.rotation = (frame.rotation * turn).eval();
        }
    }
    for (std::size_t i = 0; i < tools_.size(); ++i) tools[i] = frames_[tools_[i]].translation;
}

double Forward::reach_m(std::size_t tool, std::size_t joint, std::span<const double> max_extension_m) const {
    double reach = 0.0;
    for (std::size_t frame = tools_[tool]; frame != 0; frame = bodies_[frame - 1].parent) {
        if (frame == joint + 1) return reach;
        reach += bodies_[frame - 1].origin.translation.norm();
        if (bodies_[frame - 1].type == JointType::kPrismatic) reach += max_extension_m[frame - 1];
    }
    return 0.0;
}

bool Forward::moves(std::size_t tool, std::size_t joint) const {
    if (bodies_[joint].type == JointType::kFixed) return false;
    for (std::size_t frame = tools_[tool]; frame != 0; frame = bodies_[frame - 1].parent) {
        if (frame == joint + 1) return true;
    }
    return false;
}

}  // namespace holdfast::kinematics
