// What a drive measures of its joint: with noise and in whole counts when the plant has a seed, exact
// without.
#pragma once

#include <random>

#include "plant/joint.hpp"

namespace holdfast::plant {

[[nodiscard]] JointState measure(const JointState& joint, double turns_per_unit, std::mt19937_64* noise);

}  // namespace holdfast::plant
