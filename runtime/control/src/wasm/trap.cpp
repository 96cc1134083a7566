#include "wasm/trap.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

namespace holdfast::wasm {
namespace {

struct Mend {
    wasmtime_trap_code_t code;
    std::string_view text;
};

constexpr std::array<Mend, 9> kMends{{
    {WASMTIME_TRAP_CODE_STACK_OVERFLOW, "the call stack is exhausted; bound the recursion, or use a loop"},
    {WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS,
     "memory is accessed out of its bounds; check addresses and data segments against the memory's size"},
    {WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS,
     "a table is accessed out of its bounds; check the index against the table's size"},
    {WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL,
     "call_indirect meets an empty table entry; fill it with an elem segment or check the index"},
    {WASMTIME_TRAP_CODE_BAD_SIGNATURE,
     "call_indirect meets a function of another type; call it with its own type"},
    {WASMTIME_TRAP_CODE_INTEGER_OVERFLOW,
     "an integer operation overflows; check the range of its operands (floats before they are converted)"},
    {WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO, "an integer is divided by zero; check the divisor first"},
    {WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER,
     "a NaN is converted to an integer; check the value first (state.get is NaN where a sample is stale)"},
    {WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED,
     "an `unreachable` instruction is executed (a panic or a failed assertion); handle that case"},
}};

std::optional<wasmtime_trap_code_t> code_of(const wasm_trap_t& trap) {
    wasmtime_trap_code_t code{};
    return wasmtime_trap_code(&trap, &code) ? std::optional(code) : std::nullopt;
}

std::string plain_message(const wasm_trap_t& trap) {
    Bytes message;
    wasm_trap_message(&trap, &message.vector);
    std::string_view line = text(message.vector);
    // The C API ends the text with a zero byte.
    line = line.substr(0, std::min({line.find('\0'), line.find('\n'), line.size()}));
    return std::string(line) + "; correct the module";
}

}  // namespace

bool is_interrupt(const wasm_trap_t& trap) { return code_of(trap) == WASMTIME_TRAP_CODE_INTERRUPT; }

std::string place_of(const wasm_trap_t& trap) {
    Frames frames;
    wasm_trap_trace(&trap, &frames.vector);
    if (frames.vector.size == 0) return {};
    const wasm_frame_t* frame = frames.vector.data[0];
    const wasm_name_t* name = wasmtime_frame_func_name(frame);
    std::array<char, 48> offset{};
    std::snprintf(offset.data(), offset.size(), " (offset 0x%zx of the binary)",
                  wasm_frame_module_offset(frame));
    return " in function " +
           (name != nullptr ? in_quotes(text(*name)) : std::to_string(wasm_frame_func_index(frame))) +
           offset.data();
}

std::string describe_trap(const wasm_trap_t& trap) {
    const auto code = code_of(trap);
    const auto mend =
        std::find_if(kMends.begin(), kMends.end(), [&](const Mend& row) { return row.code == code; });
    return place_of(trap) + ": " + (mend != kMends.end() ? std::string(mend->text) : plain_message(trap));
}

}  // namespace holdfast::wasm
