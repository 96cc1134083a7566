#include "estimate/trust.hpp"

#include <cmath>

namespace holdfast::estimate {
namespace {

constexpr double kMeanWeight = 0.01;

}  // namespace

void Trust::accepted() {
    rejected_in_a_row_ = 0;
    if (health_ != EstimateHealth::kUnhealthy) return;
    if (++accepted_in_a_row_ >= limits_.recovery) health_ = EstimateHealth::kHealthy;
}

bool Trust::rejected() {
    accepted_in_a_row_ = 0;
    if (++rejected_in_a_row_ < limits_.max_rejections) return false;
    rejected_in_a_row_ = 0;
    health_ = EstimateHealth::kUnhealthy;
    return true;
}

void Trust::record(double normalised_innovation_squared) {
    if (std::isfinite(normalised_innovation_squared))
        mean_ += kMeanWeight * (normalised_innovation_squared - mean_);
}

}  // namespace holdfast::estimate
