// Reading a URDF. At start only: it allocates and may take milliseconds.
#pragma once

#include <filesystem>

#include "error.hpp"
#include "kinematics/model.hpp"

namespace holdfast::kinematics {

// The error says what is wrong, without naming the file. Joints of the types fixed, revolute, continuous and
// prismatic are known.
[[nodiscard]] Expected<Model> read_urdf(const std::filesystem::path& file);

}  // namespace holdfast::kinematics
