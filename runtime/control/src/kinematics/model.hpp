// A tree of links and joints as a URDF describes it. Plain data; metres and radians.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::kinematics {

enum class JointType : std::uint8_t { kFixed, kRevolute, kPrismatic };

struct Joint {
    std::string name;
    JointType type{};
    std::optional<std::size_t> parent;  // the joint that carries it; none: the root link
    std::array<double, 3> translation{};
    std::array<double, 4> rotation{0.0, 0.0, 0.0, 1.0};  // quaternion x, y, z, w
    std::array<double, 3> axis{1.0, 0.0, 0.0};           // unit vector
};

struct Link {
    std::string name;
    std::optional<std::size_t> joint;  // the joint that carries it; none: the root link
};

struct Model {
    std::vector<Joint> joints;  // each after its parent
    std::vector<Link> links;
};

// The same without the joints and links that lead to none of `links`. Those come first, in their order.
[[nodiscard]] Model reduced_to(const Model& model, const std::vector<std::size_t>& links);

}  // namespace holdfast::kinematics
