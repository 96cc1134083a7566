// The names that people and JSON see for the enumerations of layout.hpp.
#pragma once

#include <string_view>

#include "shm/layout.hpp"

namespace holdfast::shm {

// "unknown" for a value outside the enumeration: it may come from another process.
[[nodiscard]] std::string_view name_of(Mode mode);
[[nodiscard]] std::string_view name_of(ControllerState state);
[[nodiscard]] std::string_view name_of(ControllerFault fault);
[[nodiscard]] std::string_view name_of(StopCause cause);
[[nodiscard]] std::string_view name_of(Counter counter);
[[nodiscard]] std::string_view name_of(EstimateHealth health);

}  // namespace holdfast::shm
