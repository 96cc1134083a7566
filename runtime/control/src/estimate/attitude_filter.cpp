#include "estimate/attitude_filter.hpp"

#include <Eigen/LU>
#include <cmath>

namespace holdfast::estimate {
namespace {

using Matrix3 = Eigen::Matrix3d;
using Vector = AttitudeFilter::Vector;

// Yaw is never measured: beyond these its variance says only "not known".
constexpr double kMaxTiltVariance = 3.3;   // of an angle spread evenly over the circle
constexpr double kMaxBiasVariance = 0.25;  // (rad/s)^2
constexpr double kSmallAngle = 1e-3;       // below it the series are exact to double precision

double square(double value) { return value * value; }

Matrix3 skew(const Vector& v) {
    Matrix3 m;
    m << 0.0, -v.z(), v.y(), v.z(), 0.0, -v.x(), -v.y(), v.x(), 0.0;
    return m;
}

Eigen::Quaterniond exponential(const Vector& rotation) {
    const double angle = rotation.norm();
    const double scale = angle < kSmallAngle ? 0.5 - angle * angle / 48.0 : std::sin(0.5 * angle) / angle;
    return {std::cos(0.5 * angle), scale * rotation.x(), scale * rotation.y(), scale * rotation.z()};
}

// exp(-[w]x dt), and its integral over the step: how the error turns and how the bias enters it.
struct ErrorTransition {
    Matrix3 turn;
    Matrix3 integral;
};

ErrorTransition error_transition(const Vector& rate, double dt_s) {
    const Matrix3 w = skew(rate);
    const Matrix3 w2 = w * w;
    const double n = rate.norm();
    const double angle = n * dt_s;
    double s = dt_s - dt_s * angle * angle / 6.0;                         // sin(angle)/n
    double c = dt_s * dt_s * (0.5 - angle * angle / 24.0);                // (1-cos(angle))/n^2
    double d = dt_s * dt_s * dt_s * (1.0 / 6.0 - angle * angle / 120.0);  // (angle-sin(angle))/n^3
    if (angle >= kSmallAngle) {
        s = std::sin(angle) / n;
        c = (1.0 - std::cos(angle)) / square(n);
        d = (angle - std::sin(angle)) / (n * n * n);
    }
    const Matrix3 one = Matrix3::Identity();
    return {one - w * s + w2 * c, one * dt_s - w * c + w2 * d};
}

}  // namespace

void AttitudeFilter::predict(double dt_s, const Vector& rate) {
    if (!rate.allFinite()) {
        ++counts_.not_finite;
        return;
    }
    if (!started_ || !std::isfinite(dt_s) || dt_s <= 0.0) return;
    if (dt_s > kMaxPredictionS) return starve();
    const Vector turning = rate - bias_;
    q_ = (q_ * exponential(turning * dt_s)).normalized();
    const ErrorTransition transition = error_transition(turning, dt_s);
    Matrix f = Matrix::Identity();
    f.topLeftCorner<3, 3>() = transition.turn;
    f.topRightCorner<3, 3>() = -transition.integral;
    const Matrix fp = f * p_;
    p_.noalias() = fp * f.transpose();
    const double gyro = square(model_.gyro_noise);
    const double walk = square(model_.bias_walk);
    p_.topLeftCorner<3, 3>().diagonal().array() += gyro * dt_s + walk * dt_s * dt_s * dt_s / 3.0;
    p_.topRightCorner<3, 3>().diagonal().array() -= walk * dt_s * dt_s / 2.0;
    p_.bottomLeftCorner<3, 3>().diagonal().array() -= walk * dt_s * dt_s / 2.0;
    p_.bottomRightCorner<3, 3>().diagonal().array() += walk * dt_s;
    limit_variance();
}

// Scaling a row and its column keeps the matrix positive.
void AttitudeFilter::limit_variance() {
    for (int i = 0; i < 6; ++i) {
        const double limit = i < 3 ? kMaxTiltVariance : kMaxBiasVariance;
        if (p_(i, i) <= limit) continue;
        const double scale = std::sqrt(limit / p_(i, i));
        p_.row(i) *= scale;
        p_.col(i) *= scale;
    }
}

void AttitudeFilter::update(const Vector& acceleration) {
    if (!acceleration.allFinite()) {
        ++counts_.not_finite;
        if (trust_.rejected()) ++counts_.restarts;
        return;
    }
    if (std::abs(acceleration.norm() - model_.gravity) > model_.accelerometer_gate) {
        ++counts_.gated;
        return;
    }
    if (!started_) return start(acceleration);
    if (fuse(acceleration)) return trust_.accepted();
    ++counts_.rejected;
    if (!trust_.rejected()) return;
    ++counts_.restarts;
    start(acceleration);
}

// The shortest rotation that turns the measured direction upwards: yaw zero, or as near as there is.
void AttitudeFilter::start(const Vector& acceleration) {
    const Vector up = acceleration.normalized();
    q_ = up.z() > -1.0 + 1e-9 ? Eigen::Quaterniond(1.0 + up.z(), up.y(), -up.x(), 0.0).normalized()
                              : Eigen::Quaterniond(0.0, 1.0, 0.0, 0.0);
    bias_.setZero();
    p_.setZero();
    p_.topLeftCorner<3, 3>().diagonal().setConstant(square(model_.start_tilt_std));
    p_.bottomRightCorner<3, 3>().diagonal().setConstant(square(model_.start_bias_std));
    started_ = true;
    trust_.started();
}

bool AttitudeFilter::fuse(const Vector& acceleration) {
    const Vector up = q_.conjugate() * Vector::UnitZ();
    const Vector innovation = acceleration - model_.gravity * up;
    Eigen::Matrix<double, 3, 6> h = Eigen::Matrix<double, 3, 6>::Zero();
    h.leftCols<3>() = model_.gravity * skew(up);
    const double variance = square(model_.accelerometer_std);
    const Eigen::Matrix<double, 6, 3> pht = p_ * h.transpose();
    const Matrix3 s = h * pht + variance * Matrix3::Identity();
    const Matrix3 s_inverse = s.inverse();
    const double normalised = innovation.dot(s_inverse * innovation);
    trust_.record(normalised / 3.0);
    if (!trust_.fits(normalised)) return false;
    const Eigen::Matrix<double, 6, 3> gain = pht * s_inverse;
    const Matrix rest = Matrix::Identity() - gain * h;
    const Matrix half = rest * p_;
    p_.noalias() = half * rest.transpose();
    p_.noalias() += variance * gain * gain.transpose();
    correct(gain * innovation);
    return true;
}

// Moves the error into the estimate; what is left of it is seen from the corrected frame.
void AttitudeFilter::correct(const Eigen::Matrix<double, 6, 1>& error) {
    const Vector rotation = error.head<3>();
    q_ = (q_ * exponential(rotation)).normalized();
    bias_ += error.tail<3>();
    Matrix reset = Matrix::Identity();
    reset.topLeftCorner<3, 3>() -= 0.5 * skew(rotation);
    const Matrix half = reset * p_;
    p_.noalias() = half * reset.transpose();
}

void AttitudeFilter::starve() {
    started_ = false;
    trust_.starved();
}

}  // namespace holdfast::estimate
