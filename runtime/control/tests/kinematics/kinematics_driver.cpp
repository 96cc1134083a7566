// Answers a reference test: `kinematics_driver URDF LINK...` prints the names of the movable joints, then for
// each line of joint values on its input the three coordinates of each link, with all their digits.
#include <charconv>
#include <iostream>
#include <sstream>

#include "kinematics/forward.hpp"
#include "kinematics/urdf.hpp"

namespace {

using namespace holdfast::kinematics;

std::string digits(double value) {
    std::array<char, 32> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace

int main(int count, char** arguments) {
    const auto model = read_urdf(arguments[1]);
    if (!model) {
        std::cerr << model.error().message << "\n";
        return 1;
    }
    std::vector<std::size_t> tools;
    for (int i = 2; i < count; ++i) {
        for (std::size_t link = 0; link < model->links.size(); ++link) {
            if (model->links[link].name == arguments[i]) tools.push_back(link);
        }
    }
    for (const Joint& joint : model->joints) {
        if (joint.type != JointType::kFixed) std::cout << joint.name << " ";
    }
    std::cout << "\n";
    Forward forward(*model, tools);
    std::vector<Eigen::Vector3d> places(tools.size());
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream values(line);
        std::vector<double> q(model->joints.size());
        for (std::size_t i = 0; i < q.size(); ++i) {
            if (model->joints[i].type != JointType::kFixed) values >> q[i];
        }
        forward.place(q, places);
        for (const Eigen::Vector3d& place : places)
            std::cout << digits(place.x()) << " " << digits(place.y()) << " " << digits(place.z()) << " ";
        std::cout << "\n";
    }
    return 0;
}
