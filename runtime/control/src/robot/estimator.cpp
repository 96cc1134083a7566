#include "robot/estimator.hpp"

namespace holdfast::robot {
namespace {

constexpr double kMaxMs = 1000.0;
constexpr double kMaxNoise = 1e3;
constexpr std::int64_t kMaxSamples = 1'000'000;

std::optional<double> seconds(Section& s, std::string_view key) {
    const auto ms = s.positive(key, kMaxMs);
    if (!ms) return std::nullopt;
    return *ms * 1e-3;
}

std::uint32_t samples(Section& s, std::string_view key, std::uint32_t otherwise) {
    return static_cast<std::uint32_t>(s.integer(key, 1, kMaxSamples).value_or(otherwise));
}

}  // namespace

const std::vector<std::string_view>& estimator_keys() {
    static const std::vector<std::string_view> keys{
        "enabled",        "rejection_probability", "max_rejections",       "recovery_samples",
        "position_noise", "velocity_noise",        "acceleration_time_ms", "timing_noise_ms",
        "gyro_noise",     "gyro_bias_walk",        "accelerometer_noise",  "accelerometer_gate"};
    return keys;
}

EstimatorConfig read_estimator(Section& s) {
    EstimatorConfig c;
    c.enabled = s.boolean("enabled").value_or(c.enabled);
    // Beyond one in ten, good samples in a row would start the estimate afresh.
    c.rejection_probability = s.positive("rejection_probability", 0.1).value_or(c.rejection_probability);
    c.max_rejections = samples(s, "max_rejections", c.max_rejections);
    c.recovery_samples = samples(s, "recovery_samples", c.recovery_samples);
    c.acceleration_time_s = seconds(s, "acceleration_time_ms").value_or(c.acceleration_time_s);
    c.position_noise = s.positive("position_noise", 1.0).value_or(c.position_noise);
    c.velocity_noise = s.positive("velocity_noise", 1.0).value_or(c.velocity_noise);
    c.timing_noise_s = seconds(s, "timing_noise_ms");
    c.gyro_noise = s.positive("gyro_noise", kMaxNoise).value_or(c.gyro_noise);
    c.gyro_bias_walk = s.positive("gyro_bias_walk", kMaxNoise).value_or(c.gyro_bias_walk);
    c.accelerometer_noise = s.positive("accelerometer_noise", kMaxNoise).value_or(c.accelerometer_noise);
    c.accelerometer_gate = s.positive("accelerometer_gate", kMaxNoise).value_or(c.accelerometer_gate);
    s.refuse_unknown_keys();
    return c;
}

}  // namespace holdfast::robot
