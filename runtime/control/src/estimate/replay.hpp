// A recording, one row a line (CSV with a header), through the estimator of a robot.
#pragma once

#include <istream>
#include <ostream>
#include <string>

#include "error.hpp"
#include "robot/config.hpp"

namespace holdfast::estimate {

// Rows: t_s,position,velocity; an empty cell was not measured. Writes t_s, the estimate, its covariance (row
// by row), its health (EstimateHealth) and the measurements rejected so far.
[[nodiscard]] Expected<void> replay_joint(const RobotConfig& config, const std::string& command,
                                          std::istream& in, std::ostream& out);

// Rows: t_s, angular rate x, y, z (rad/s), acceleration x, y, z (m/s^2). Writes t_s, the attitude (w, x, y,
// z), the gyro bias, the covariance (row by row), health, and samples rejected and gated so far.
[[nodiscard]] Expected<void> replay_attitude(const RobotConfig& config, std::istream& in, std::ostream& out);

// The parameters in use, as JSON.
void print_models(const RobotConfig& config, std::ostream& out);

}  // namespace holdfast::estimate
