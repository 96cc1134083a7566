// What plant-control.sock answers: status, frames, faults, and what sensors measure.
#pragma once

#include <nlohmann/json.hpp>

#include "plant/enable_watch.hpp"
#include "plant/plant.hpp"

namespace holdfast::plant {

// {"op": "status"}
// {"op": "frames", "since_ns": 1, "until_ns": 2}
// {"op": "fault", "device": "elbow", "kind": "lost", "probability": 0.1, "at_ms": 500, "for_ms": 200}
// {"op": "clear_faults", "device": "elbow"}; without "device": of every device
// {"op": "measure", "sensor": "gate", "quantity": "distance", "value": 0.4}
// `enable`: null if no enable line is watched.
[[nodiscard]] nlohmann::json answer(Plant& plant, const EnableWatch* enable, const nlohmann::json& request);

}  // namespace holdfast::plant
