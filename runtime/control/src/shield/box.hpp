// Points and straight ways against axis-aligned boxes. Real-time threads; pure.
#pragma once

#include <Eigen/Core>
#include <span>

#include "robot/relations.hpp"

namespace holdfast {

// How far a point, or the worst point of a way, is outside all of the boxes or inside one of the keep-outs,
// m. `margin_m` makes the boxes smaller and the keep-outs larger. No box: anywhere is allowed.
[[nodiscard]] double outside_all(std::span<const Box> boxes, const Eigen::Vector3d& point, double margin_m);
[[nodiscard]] double inside_any(std::span<const Box> keep_out, const Eigen::Vector3d& point, double margin_m);

// From one place to another, in the middle at most `bulge_m` beside the straight line: a curve whose second
// derivative (by time, T long) is at most 8 bulge_m / T^2. Never below the true value.
struct Way {
    Eigen::Vector3d from;
    Eigen::Vector3d to;
    double bulge_m{};
};
[[nodiscard]] double outside_all(std::span<const Box> boxes, const Way& way, double margin_m);
[[nodiscard]] double inside_any(std::span<const Box> keep_out, const Way& way, double margin_m);

}  // namespace holdfast
