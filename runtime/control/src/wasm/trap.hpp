// What a trap was, where, and how a controller's author mends it. Not real-time, but is_interrupt.
#pragma once

#include <string>

#include "wasm/handles.hpp"

namespace holdfast::wasm {

// True when the epoch's deadline ended the call.
[[nodiscard]] bool is_interrupt(const wasm_trap_t& trap);
// " in function `ramp` (offset 0x4f of the binary)", or empty if no frame is known.
[[nodiscard]] std::string place_of(const wasm_trap_t& trap);
// "<place>: integer division by zero; check the divisor before dividing".
[[nodiscard]] std::string describe_trap(const wasm_trap_t& trap);

}  // namespace holdfast::wasm
