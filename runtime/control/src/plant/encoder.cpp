#include "plant/encoder.hpp"

#include <cmath>

namespace holdfast::plant {
namespace {

// One standard deviation, in motor turns and turns/s.
constexpr double kNoiseTurns = 1e-4;
constexpr double kNoiseTurnsPerS = 1e-2;
constexpr double kCountsPerTurn = 16'384.0;  // a 14-bit magnetic encoder

}  // namespace

JointState measure(const JointState& joint, double turns_per_unit, std::mt19937_64* noise) {
    if (noise == nullptr) return joint;
    const double turns =
        joint.position * turns_per_unit + std::normal_distribution<double>(0.0, kNoiseTurns)(*noise);
    const double turns_per_s =
        joint.velocity * turns_per_unit + std::normal_distribution<double>(0.0, kNoiseTurnsPerS)(*noise);
    JointState measured = joint;
    measured.position = std::nearbyint(turns * kCountsPerTurn) / kCountsPerTurn / turns_per_unit;
    measured.velocity = turns_per_s / turns_per_unit;
    return measured;
}

}  // namespace holdfast::plant
