#include "shield/coupling.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast {
namespace {

double cubic(const Value& value, double t) {
    return value.value + t * (value.first + t * (value.second / 2.0 + t * value.third / 6.0));
}

// Where the slope first + second*t + third*t^2/2 is zero; NaN where it never is.
std::array<double, 2> turning_points(const Value& value) {
    const double half = value.third / 2.0;
    const double root = std::sqrt(value.second * value.second - 4.0 * half * value.first);
    const double q = -0.5 * (value.second + std::copysign(root, value.second));
    return {q / half, value.first / q};
}

}  // namespace

CouplingRule::CouplingRule(const Coupling& coupling)
    : count_(coupling.channels.size()), limits_(coupling.limits) {
    std::ranges::copy(coupling.channels, channels_.begin());
    std::ranges::copy(coupling.factors, factors_.begin());
}

double CouplingRule::excess(double value) const {
    return std::max({0.0, limits_.min - value, value - limits_.max});
}

Value CouplingRule::sum_at(std::span<const Path> paths, double time_s) const {
    Value sum;
    for (std::size_t i = 0; i < count_; ++i) {
        const Value value = value_at(paths[channels_[i]], time_s);
        sum.value += factors_[i] * value.value;
        sum.first += factors_[i] * value.first;
        sum.second += factors_[i] * value.second;
        sum.third += factors_[i] * value.third;
    }
    return sum;
}

double CouplingRule::excess_at_start(std::span<const Path> paths) const {
    return excess(sum_at(paths, 0.0).value);
}

double CouplingRule::excess_at_end(std::span<const Path> paths) const {
    double longest_s = 0.0;
    for (const std::size_t channel : channels()) longest_s = std::max(longest_s, paths[channel].duration_s);
    return excess(sum_at(paths, longest_s).value);
}

// Between two breaks every path, and so their sum, is one cubic. It is taken from the middle: at a break,
// rounding would decide whose cubic it is.
double CouplingRule::worst_between(std::span<const Path> paths, double begin_s, double end_s) const {
    const double half_s = (end_s - begin_s) / 2.0;
    const Value middle = sum_at(paths, begin_s + half_s);
    double worst = std::max(excess(cubic(middle, -half_s)), excess(cubic(middle, half_s)));
    for (const double turn_s : turning_points(middle)) {
        if (std::abs(turn_s) < half_s) worst = std::max(worst, excess(cubic(middle, turn_s)));
    }
    return worst;
}

double CouplingRule::worst_excess(std::span<const Path> paths) const {
    std::array<double, 3 * kMaxCoupledChannels> breaks_s{};
    for (std::size_t i = 0; i < count_; ++i)
        std::ranges::copy(paths[channels_[i]].stop.breaks_s(), breaks_s.begin() + static_cast<long>(3 * i));
    std::sort(breaks_s.begin(), breaks_s.begin() + static_cast<long>(3 * count_));
    double worst = excess_at_start(paths);
    double begin_s = 0.0;
    for (std::size_t i = 0; i < 3 * count_; ++i) {
        if (breaks_s[i] <= begin_s) continue;
        worst = std::max(worst, worst_between(paths, begin_s, breaks_s[i]));
        begin_s = breaks_s[i];
    }
    return worst;
}

}  // namespace holdfast
