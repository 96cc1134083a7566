#include <algorithm>

#include "wasm/handles.hpp"

namespace holdfast::wasm {
namespace {

constexpr std::size_t kMaxNameBytes = 80;

std::string_view trimmed(std::string_view line) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

// "0: text" of a numbered chain -> "text".
std::string_view without_number(std::string_view line) {
    const auto digits = line.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos || !line.substr(digits).starts_with(": "))
        return line;
    return line.substr(digits + 2);
}

}  // namespace

std::string message_of(const wasmtime_error_t& error) {
    Bytes message;
    wasmtime_error_message(&error, &message.vector);
    std::string joined;
    std::string_view rest = text(message.vector);
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        const std::string_view line = without_number(trimmed(rest.substr(0, end)));
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        if (line.empty() || line == "Caused by:") continue;
        if (!joined.empty()) joined += ": ";
        joined += line;
    }
    return joined;
}

std::string in_quotes(std::string_view name) {
    const bool cut = name.size() > kMaxNameBytes;
    std::size_t size = std::min(name.size(), kMaxNameBytes);
    // Never in the middle of a UTF-8 character.
    while (cut && size > 0 && (static_cast<unsigned char>(name[size]) & 0xC0u) == 0x80u) --size;
    return "`" + std::string(name.substr(0, size)) + (cut ? "...`" : "`");
}

}  // namespace holdfast::wasm
