#include "estimate/joint_filter.hpp"

#include <cmath>
#include <limits>

namespace holdfast::estimate {
namespace {

constexpr int kPosition = 0;
constexpr int kVelocity = 1;
constexpr int kAcceleration = 2;

double square(double value) { return value * value; }

JointFilter::Matrix transition(double dt_s) {
    JointFilter::Matrix f;
    f << 1.0, dt_s, 0.5 * dt_s * dt_s, 0.0, 1.0, dt_s, 0.0, 0.0, 1.0;
    return f;
}

JointFilter::Matrix process_noise(double dt_s, double jerk_density) {
    const double dt2 = dt_s * dt_s;
    const double dt3 = dt2 * dt_s;
    const double dt4 = dt3 * dt_s;
    const double dt5 = dt4 * dt_s;
    JointFilter::Matrix q;
    q << dt5 / 20.0, dt4 / 8.0, dt3 / 6.0,  //
        dt4 / 8.0, dt3 / 3.0, dt2 / 2.0,    //
        dt3 / 6.0, dt2 / 2.0, dt_s;
    return q * jerk_density;
}

double number(const std::optional<double>& value) {
    return value.value_or(std::numeric_limits<double>::quiet_NaN());
}
bool finite(const std::optional<double>& value) { return std::isfinite(number(value)); }
bool not_finite(const std::optional<double>& value) { return value && !std::isfinite(*value); }

}  // namespace

void JointFilter::predict(double dt_s) {
    if (!started_ || !std::isfinite(dt_s) || dt_s <= 0.0) return;
    if (dt_s > kMaxPredictionS) return starve();
    const Matrix f = transition(dt_s);
    x_ = f * x_;
    const Matrix fp = f * p_;
    p_.noalias() = fp * f.transpose();
    p_ += process_noise(dt_s, model_.jerk_density);
    if (!model_.measures_position) forget_position();
}

// Never measured, its variance would grow for ever. Velocity and acceleration do not depend on it.
void JointFilter::forget_position() {
    x_(kPosition) = 0.0;
    p_.row(kPosition).setZero();
    p_.col(kPosition).setZero();
}

void JointFilter::update(const JointMeasurement& measurement) {
    if (not_finite(measurement.position)) ++counts_.not_finite;
    if (not_finite(measurement.velocity)) ++counts_.not_finite;
    bool all_fit = !not_finite(measurement.position) && !not_finite(measurement.velocity);
    if (!started_) {
        const bool enough = finite(model_.measures_position ? measurement.position : measurement.velocity);
        if (enough) return start(measurement);
        if (!all_fit && trust_.rejected()) ++counts_.restarts;
        return;
    }
    if (finite(measurement.position))
        all_fit = fuse(kPosition, number(measurement.position), position_variance()) && all_fit;
    if (finite(measurement.velocity))
        all_fit = fuse(kVelocity, number(measurement.velocity), velocity_variance()) && all_fit;
    if (!measurement.position && !measurement.velocity) return;
    if (all_fit) return trust_.accepted();
    reject(measurement);
}

void JointFilter::reject(const JointMeasurement& measurement) {
    if (!trust_.rejected()) return;
    ++counts_.restarts;
    started_ = false;
    const bool enough = finite(model_.measures_position ? measurement.position : measurement.velocity);
    if (enough) start(measurement);
}

void JointFilter::start(const JointMeasurement& measurement) {
    x_.setZero();
    p_.setZero();
    if (model_.measures_position) {
        x_(kPosition) = number(measurement.position);
        p_(kPosition, kPosition) = square(model_.position_std);
    }
    const bool moving = finite(measurement.velocity);
    if (moving) x_(kVelocity) = number(measurement.velocity);
    p_(kVelocity, kVelocity) = square(moving ? model_.velocity_std : model_.start_velocity_std);
    p_(kAcceleration, kAcceleration) = square(model_.start_acceleration_std);
    started_ = true;
    trust_.started();
}

// One scalar measurement; Joseph's form keeps the covariance positive whatever the rounding.
bool JointFilter::fuse(int component, double value, double variance) {
    const double innovation = value - x_(component);
    const double innovation_variance = p_(component, component) + variance;
    const double normalised = innovation * innovation / innovation_variance;
    trust_.record(normalised);
    if (!trust_.fits(normalised)) {
        ++counts_.rejected;
        return false;
    }
    const Vector gain = p_.col(component) / innovation_variance;
    x_ += gain * innovation;
    Matrix rest = Matrix::Identity();
    rest.col(component) -= gain;
    const Matrix half = rest * p_;
    p_.noalias() = half * rest.transpose();
    p_.noalias() += variance * gain * gain.transpose();
    return true;
}

double JointFilter::position_variance() const {
    return square(model_.position_std) + square(x_(kVelocity) * model_.timing_std_s);
}

double JointFilter::velocity_variance() const {
    return square(model_.velocity_std) + square(x_(kAcceleration) * model_.timing_std_s);
}

void JointFilter::starve() {
    started_ = false;
    trust_.starved();
}

}  // namespace holdfast::estimate
