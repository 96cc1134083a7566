#include "shield/box.hpp"

#include <algorithm>
#include <limits>
#include <optional>

namespace holdfast {
namespace {

using Eigen::Vector3d;

Vector3d low(const Box& box) { return {box.min[0], box.min[1], box.min[2]}; }
Vector3d high(const Box& box) { return {box.max[0], box.max[1], box.max[2]}; }

// How far the point is beyond the furthest face; negative inside.
double beyond(const Box& box, const Vector3d& point, double grow_m) {
    return std::max((low(box) - point).maxCoeff(), (point - high(box)).maxCoeff()) - grow_m;
}

// Which part of the way from -> to (0 to 1) is in the box, grown by `grow_m`.
std::optional<Range> part_inside(const Box& box, const Vector3d& from, const Vector3d& to, double grow_m) {
    Range part{0.0, 1.0};
    for (int axis = 0; axis < 3; ++axis) {
        const auto i = static_cast<std::size_t>(axis);
        const double near = box.min[i] - grow_m - from[axis];
        const double far = box.max[i] + grow_m - from[axis];
        const double way = to[axis] - from[axis];
        if (way == 0.0) {
            if (near > 0.0 || far < 0.0) return std::nullopt;
            continue;
        }
        part.min = std::max(part.min, std::min(near / way, far / way));
        part.max = std::min(part.max, std::max(near / way, far / way));
    }
    if (part.min > part.max) return std::nullopt;
    return part;
}

// The first place on the way, from `begin` on, that no box covers.
double covered_until(std::span<const Box> boxes, const Vector3d& from, const Vector3d& to, double margin_m) {
    double covered = 0.0;
    for (std::size_t round = 0; round < boxes.size() && covered < 1.0; ++round) {
        for (const Box& box : boxes) {
            const auto part = part_inside(box, from, to, -margin_m);
            if (part && part->min <= covered) covered = std::max(covered, part->max);
        }
    }
    return covered;
}

}  // namespace

double outside_all(std::span<const Box> boxes, const Vector3d& point, double margin_m) {
    if (boxes.empty()) return 0.0;
    double nearest = std::numeric_limits<double>::infinity();
    for (const Box& box : boxes) nearest = std::min(nearest, beyond(box, point, -margin_m));
    return std::max(0.0, nearest);
}

double outside_all(std::span<const Box> boxes, const Vector3d& from, const Vector3d& to, double margin_m) {
    const double ends = std::max(outside_all(boxes, from, margin_m), outside_all(boxes, to, margin_m));
    if (boxes.size() < 2 || ends > 0.0) return ends;
    const double gap = covered_until(boxes, from, to, margin_m);
    if (gap >= 1.0) return 0.0;
    // From one box into another through what neither allows: as bad as the whole way.
    return (to - from).norm();
}

double inside_any(std::span<const Box> keep_out, const Vector3d& from, const Vector3d& to, double margin_m) {
    double deepest = 0.0;
    for (const Box& box : keep_out) {
        const auto part = part_inside(box, from, to, margin_m);
        if (!part) continue;
        for (const double place : {part->min, (part->min + part->max) / 2.0, part->max})
            deepest = std::max(deepest, -beyond(box, from + place * (to - from), margin_m));
    }
    return deepest;
}

}  // namespace holdfast
