// Comparing values that went through many sums, and small steps between them. Pure.
#pragma once

#include <algorithm>
#include <cmath>

#include "robot/relations.hpp"

namespace holdfast {

inline bool inside(const Range& range, double value) { return value >= range.min && value <= range.max; }

inline bool near(double a, double b, double relative) {
    return std::abs(a - b) <= relative * std::max({1.0, std::abs(a), std::abs(b)});
}

// Rounding of a sum of steps is neither a motion nor a broken rule.
inline bool same(double a, double b) { return near(a, b, 1e-12); }

inline double toward(double from, double to, double step) { return std::clamp(to, from - step, from + step); }

}  // namespace holdfast
