#include "shield/box.hpp"

#include <algorithm>
#include <cmath>
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

// The least of a clearance that is `begin` and `end` at the ends of a way and in between at most
// 4 bulge s (1 - s) below the straight line, with s from 0 to 1. Whoever leaves a face fast enough comes no
// nearer to it: that is why the bulge is not simply taken off.
double least_clearance(double begin, double end, double bulge) {
    const double gain = end - begin;
    if (std::abs(gain) >= 4.0 * bulge) return std::min(begin, end);
    const double s = 0.5 - gain / (8.0 * bulge);
    return begin + gain * s - 4.0 * bulge * s * (1.0 - s);
}

// Clearances of a way from the faces of a box: how far it is on the inner side of each.
struct Faces {
    double least_inside{std::numeric_limits<double>::infinity()};   // of all faces
    double most_outside{-std::numeric_limits<double>::infinity()};  // of the face that it is furthest beyond
};

Faces faces_of(const Box& box, const Way& way) {
    Faces faces;
    for (int axis = 0; axis < 3; ++axis) {
        const auto i = static_cast<std::size_t>(axis);
        const double from_low = way.from[axis] - box.min[i], to_low = way.to[axis] - box.min[i];
        const double from_high = box.max[i] - way.from[axis], to_high = box.max[i] - way.to[axis];
        faces.least_inside = std::min({faces.least_inside, least_clearance(from_low, to_low, way.bulge_m),
                                       least_clearance(from_high, to_high, way.bulge_m)});
        faces.most_outside = std::max({faces.most_outside, least_clearance(-from_low, -to_low, way.bulge_m),
                                       least_clearance(-from_high, -to_high, way.bulge_m)});
    }
    return faces;
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
        const double before = covered;
        for (const Box& box : boxes) {
            const auto part = part_inside(box, from, to, -margin_m);
            if (part && part->min <= covered) covered = std::max(covered, part->max);
        }
        if (covered == before) break;  // a gap: no later round finds another way
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

double inside_any(std::span<const Box> keep_out, const Vector3d& point, double margin_m) {
    double deepest = 0.0;
    for (const Box& box : keep_out) deepest = std::max(deepest, -beyond(box, point, margin_m));
    return deepest;
}

double outside_all(std::span<const Box> boxes, const Way& way, double margin_m) {
    for (const Box& box : boxes) {
        if (faces_of(box, way).least_inside >= margin_m) return 0.0;
    }
    const double margin = margin_m + way.bulge_m;
    const double ends = std::max(outside_all(boxes, way.from, margin), outside_all(boxes, way.to, margin));
    if (boxes.size() < 2 || ends > 0.0) return ends;
    const double gap = covered_until(boxes, way.from, way.to, margin);
    if (gap >= 1.0) return 0.0;
    // From one box into another through what neither allows: as bad as the whole way.
    return (way.to - way.from).norm();
}

double inside_any(std::span<const Box> keep_out, const Way& way, double margin_m) {
    double deepest = 0.0;
    for (const Box& box : keep_out) {
        if (faces_of(box, way).most_outside >= margin_m) continue;
        const double margin = margin_m + way.bulge_m;
        const auto part = part_inside(box, way.from, way.to, margin);
        if (!part) continue;
        for (const double place : {part->min, (part->min + part->max) / 2.0, part->max})
            deepest = std::max(deepest, -beyond(box, way.from + place * (way.to - way.from), margin));
    }
    return deepest;
}

}  // namespace holdfast
