// Attitude from a gyroscope and an accelerometer: a multiplicative extended Kalman filter with gyro bias
// (Markley, "Attitude Error Representations for Kalman Filtering", 2003). The error is a rotation in the
// body frame; the reference direction is up, so roll and pitch are absolute and yaw counts from the start.
// Pure: no allocation, clock or I/O; any thread.
#pragma once

#include <Eigen/Core>
#include <Eigen/Geometry>
#include <array>
#include <cstdint>

#include "estimate/trust.hpp"

namespace holdfast::estimate {

struct AttitudeModel {
    double gyro_noise{};          // rad/s/sqrt(Hz)
    double bias_walk{};           // rad/s^2/sqrt(Hz)
    double accelerometer_std{};   // m/s^2
    double accelerometer_gate{};  // m/s^2: |a| further from gravity than this is motion, not up
    double gravity{9.80665};      // m/s^2
    double start_tilt_std{0.1};   // rad
    double start_bias_std{0.05};  // rad/s
    TrustLimits trust;            // gate: three degrees of freedom
};

struct AttitudeCounts {
    std::uint64_t gated{};       // the accelerometer measured motion; not used, not wrong
    std::uint64_t rejected{};    // did not fit the estimate
    std::uint64_t not_finite{};  // NaN or infinite
    std::uint64_t restarts{};
};

class AttitudeFilter {
  public:
    using Vector = Eigen::Vector3d;
    using Matrix = Eigen::Matrix<double, 6, 6>;

    explicit AttitudeFilter(const AttitudeModel& model) : model_(model), trust_(model.trust) {}

    // `rate`: rad/s, body frame. A time or rate that is not finite, or time that goes back, changes nothing.
    void predict(double dt_s, const Vector& rate);
    // `acceleration`: specific force in m/s^2, body frame; at rest it points up. The first one gives the
    // attitude to start from.
    void update(const Vector& acceleration);
    void starve();

    // From the body frame to the one that was level at the start.
    [[nodiscard]] const Eigen::Quaterniond& attitude() const { return q_; }
    [[nodiscard]] const Vector& bias() const { return bias_; }
    [[nodiscard]] const Matrix& covariance() const { return p_; }  // attitude error, bias
    [[nodiscard]] EstimateHealth health() const { return trust_.health(); }
    [[nodiscard]] double mean_innovation() const { return trust_.mean_innovation(); }
    [[nodiscard]] const AttitudeCounts& counts() const { return counts_; }

  private:
    void start(const Vector& acceleration);
    [[nodiscard]] bool fuse(const Vector& acceleration);
    void correct(const Eigen::Matrix<double, 6, 1>& error);
    void limit_variance();

    AttitudeModel model_;
    Trust trust_;
    AttitudeCounts counts_;
    Eigen::Quaterniond q_{Eigen::Quaterniond::Identity()};
    Vector bias_{Vector::Zero()};
    Matrix p_{Matrix::Zero()};
    bool started_{false};
};

}  // namespace holdfast::estimate
