// Points and straight ways against axis-aligned boxes. Real-time threads; pure.
#pragma once

#include <Eigen/Core>
#include <span>

#include "robot/relations.hpp"

namespace holdfast {

// How far a point, or the worst point of a straight way, is outside all of the boxes or inside one of the
// keep-outs, m. `margin_m` makes the boxes smaller and the keep-outs larger. No box: anywhere is allowed.
[[nodiscard]] double outside_all(std::span<const Box> boxes, const Eigen::Vector3d& point, double margin_m);
[[nodiscard]] double outside_all(std::span<const Box> boxes, const Eigen::Vector3d& from,
                                 const Eigen::Vector3d& to, double margin_m);
[[nodiscard]] double inside_any(std::span<const Box> keep_out, const Eigen::Vector3d& from,
                                const Eigen::Vector3d& to, double margin_m);

}  // namespace holdfast
