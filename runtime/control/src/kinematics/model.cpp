#include "kinematics/model.hpp"

namespace holdfast::kinematics {

Model reduced_to(const Model& model, const std::vector<std::size_t>& links) {
    std::vector<bool> needed(model.joints.size());
    for (const std::size_t link : links) {
        for (auto joint = model.links[link].joint; joint; joint = model.joints[*joint].parent)
            needed[*joint] = true;
    }
    Model reduced;
    std::vector<std::size_t> place(model.joints.size());
    for (std::size_t i = 0; i < model.joints.size(); ++i) {
        if (!needed[i]) continue;
        place[i] = reduced.joints.size();
        Joint joint = model.joints[i];
        if (joint.parent) joint.parent = place[*joint.parent];
        reduced.joints.push_back(std::move(joint));
    }
    for (const std::size_t index : links) {
        Link link = model.links[index];
        if (link.joint) link.joint = place[*link.joint];
        reduced.links.push_back(std::move(link));
    }
    return reduced;
}

}  // namespace holdfast::kinematics
