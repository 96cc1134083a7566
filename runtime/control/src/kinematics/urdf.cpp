#include "kinematics/urdf.hpp"

#include <urdf_model/model.h>
#include <urdf_parser/urdf_parser.h>

#include <cmath>
#include <fstream>
#include <iterator>

namespace holdfast::kinematics {
namespace {

Expected<JointType> type_of(const urdf::Joint& joint) {
    switch (joint.type) {
        case urdf::Joint::FIXED:
            return JointType::kFixed;
        case urdf::Joint::REVOLUTE:
        case urdf::Joint::CONTINUOUS:
            return JointType::kRevolute;
        case urdf::Joint::PRISMATIC:
            return JointType::kPrismatic;
        default:
            return fail("its joint \"" + joint.name +
                        "\" is neither fixed, revolute, continuous nor prismatic; model it with those");
    }
}

Expected<Joint> joint_of(const urdf::Joint& source, std::optional<std::size_t> parent) {
    const auto type = type_of(source);
    if (!type) return tl::unexpected(type.error());
    const urdf::Pose& origin = source.parent_to_joint_origin_transform;
    Joint joint{.name = source.name,
                .type = *type,
                .parent = parent,
                .translation = {origin.position.x, origin.position.y, origin.position.z},
                .rotation = {origin.rotation.x, origin.rotation.y, origin.rotation.z, origin.rotation.w}};
    const double length = std::hypot(source.axis.x, source.axis.y, source.axis.z);
    double known = length;
    for (const double value : joint.translation) known += value;
    for (const double value : joint.rotation) known += value;
    if (!std::isfinite(known))
        return fail("its joint \"" + source.name + "\" holds a number that is not finite");
    if (*type == JointType::kFixed) return joint;
    if (length == 0.0) return fail("its joint \"" + source.name + "\" has no axis; give it one");
    joint.axis = {source.axis.x / length, source.axis.y / length, source.axis.z / length};
    return joint;
}

Expected<void> add(const urdf::Link& link, std::optional<std::size_t> carrier, Model& model) {
    model.links.push_back({link.name, carrier});
    for (const auto& child : link.child_links) {
        auto joint = joint_of(*child->parent_joint, carrier);
        if (!joint) return tl::unexpected(joint.error());
        model.joints.push_back(std::move(*joint));
        if (auto added = add(*child, model.joints.size() - 1, model); !added) return added;
    }
    return {};
}

}  // namespace

Expected<Model> read_urdf(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    if (!in || text.empty()) return fail("cannot be read; correct the path");
    const auto parsed = urdf::parseURDF(text);
    if (!parsed || !parsed->getRoot()) return fail("is not a URDF; check it with check_urdf");
    Model model;
    if (auto added = add(*parsed->getRoot(), std::nullopt, model); !added)
        return tl::unexpected(added.error());
    return model;
}

}  // namespace holdfast::kinematics
