// Whether an estimate may be relied on, from how its measurements fit. Pure.
#pragma once

#include <cstdint>

#include "estimate/health.hpp"

namespace holdfast::estimate {

// Beyond it a prediction says nothing: a filter waits for the next sample.
inline constexpr double kMaxPredictionS = 0.1;

struct TrustLimits {
    double gate{};                   // normalised innovation squared above it: rejected
    std::uint32_t max_rejections{};  // this many rejected in a row: start afresh, unhealthy
    std::uint32_t recovery{};        // this many accepted in a row after that: healthy again
};

class Trust {
  public:
    explicit Trust(const TrustLimits& limits) : limits_(limits) {}

    [[nodiscard]] bool fits(double normalised_innovation_squared) const {
        // Written so that NaN does not fit.
        return normalised_innovation_squared <= limits_.gate;
    }
    void accepted();
    // True: too many in a row. The estimate is wrong, or the sensor is: start afresh.
    [[nodiscard]] bool rejected();
    void started() {
        if (health_ != EstimateHealth::kUnhealthy) health_ = EstimateHealth::kHealthy;
    }
    // No measurement for too long. A broken trust is not mended by silence.
    void starved() {
        if (health_ == EstimateHealth::kHealthy) health_ = EstimateHealth::kWaiting;
    }
    // Mean of the normalised innovation squared over about a hundred measurements, the rejected ones
    // included; 1 when noise and model are what was configured.
    void record(double normalised_innovation_squared);

    [[nodiscard]] EstimateHealth health() const { return health_; }
    [[nodiscard]] double mean_innovation() const { return mean_; }

  private:
    TrustLimits limits_;
    EstimateHealth health_{EstimateHealth::kWaiting};
    std::uint32_t rejected_in_a_row_{0};
    std::uint32_t accepted_in_a_row_{0};
    double mean_{1.0};
};

}  // namespace holdfast::estimate
