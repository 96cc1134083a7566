#include "estimate/chi_square.hpp"

#include <cmath>
#include <numbers>

namespace holdfast::estimate {
namespace {

constexpr double kLargestBound = 1400.0;  // beyond it every probability is 0 in double precision
constexpr int kHalvings = 100;

double exceeds_1(double x) { return std::erfc(std::sqrt(x / 2.0)); }

double exceeds_3(double x) {
    return exceeds_1(x) + std::sqrt(2.0 * x / std::numbers::pi) * std::exp(-x / 2.0);
}

double bound(double (*exceeds)(double), double probability) {
    double low = 0.0;
    double high = kLargestBound;
    for (int i = 0; i < kHalvings; ++i) {
        const double middle = 0.5 * (low + high);
        (exceeds(middle) > probability ? low : high) = middle;
    }
    return high;
}

}  // namespace

double chi_square_bound_1(double probability) { return bound(exceeds_1, probability); }
double chi_square_bound_3(double probability) { return bound(exceeds_3, probability); }

}  // namespace holdfast::estimate
