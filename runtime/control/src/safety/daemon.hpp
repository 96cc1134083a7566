// holdfast-safety: the real-time loop, the recorder and the service, put together.
#pragma once

#include "error.hpp"
#include "robot/config.hpp"

namespace holdfast::safety {

// Runs until SIGTERM or SIGINT, which the caller must have blocked in every thread. The error is what kept it
// from starting.
[[nodiscard]] Expected<void> run_daemon(const RobotConfig& config);

}  // namespace holdfast::safety
