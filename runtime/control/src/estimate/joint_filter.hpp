// Kalman filter of one joint: position, velocity and acceleration from an encoder (Bar-Shalom, Li,
// Kirubarajan, "Estimation with Applications to Tracking and Navigation", 6.2.3: white-noise jerk). Pure: no
// allocation, clock or I/O; any thread.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <optional>

#include "estimate/trust.hpp"

namespace holdfast::estimate {

// Units: those of the joint (rad or m) and seconds. Standard deviations.
struct JointModel {
    bool measures_position{true};  // false: velocity only, the position is not estimated
    double jerk_density{};         // spectral density of the jerk noise, unit^2/s^5
    double position_std{};
    double velocity_std{};
    double timing_std_s{};  // of the moment a sample was taken: in motion it is noise too
    double start_velocity_std{};
    double start_acceleration_std{};
    TrustLimits trust;
};

struct JointMeasurement {
    std::optional<double> position;
    std::optional<double> velocity;
};

struct JointCounts {
    std::uint64_t rejected{};    // did not fit the estimate
    std::uint64_t not_finite{};  // NaN or infinite
    std::uint64_t restarts{};    // started afresh after too many of either in a row
};

class JointFilter {
  public:
    using Vector = Eigen::Vector3d;
    using Matrix = Eigen::Matrix3d;

    explicit JointFilter(const JointModel& model) : model_(model), trust_(model.trust) {}

    // `dt_s`: measured. Time that is not finite or goes back changes nothing.
    void predict(double dt_s);
    // The measurements of one moment. A value that is not finite or outside the gate changes nothing but its
    // counter; the others are used.
    void update(const JointMeasurement& measurement);
    // Nothing was heard for too long: the next sample starts afresh.
    void starve();

    [[nodiscard]] const Vector& state() const { return x_; }
    [[nodiscard]] const Matrix& covariance() const { return p_; }
    [[nodiscard]] EstimateHealth health() const { return trust_.health(); }
    [[nodiscard]] double mean_innovation() const { return trust_.mean_innovation(); }
    [[nodiscard]] const JointCounts& counts() const { return counts_; }

  private:
    void start(const JointMeasurement& measurement);
    [[nodiscard]] bool fuse(int component, double value, double variance);
    [[nodiscard]] double position_variance() const;
    [[nodiscard]] double velocity_variance() const;
    void reject(const JointMeasurement& measurement);
    void forget_position();

    JointModel model_;
    Trust trust_;
    JointCounts counts_;
    Vector x_{Vector::Zero()};
    Matrix p_{Matrix::Zero()};
    bool started_{false};
};

}  // namespace holdfast::estimate
