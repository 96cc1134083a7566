// What plant-control.sock answers: status, faults, and what sensors measure.
#pragma once

#include <nlohmann/json.hpp>

#include "plant/plant.hpp"

namespace holdfast::plant {

// {"op": "status"}
// {"op": "fault", "device": "elbow", "kind": "lost", "probability": 0.1, "at_ms": 500, "for_ms": 200}
// {"op": "clear_faults", "device": "elbow"}; without "device": of every device
// {"op": "measure", "sensor": "gate", "quantity": "distance", "value": 0.4}
[[nodiscard]] nlohmann::json answer(Plant& plant, const nlohmann::json& request);

}  // namespace holdfast::plant
