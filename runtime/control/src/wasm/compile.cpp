#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "wasm/engine.hpp"

namespace holdfast::wasm {
namespace {

constexpr std::string_view kWasmMagic{"\0asm", 4};
constexpr std::string_view kElfMagic{
    "\x7f"
    "ELF",
    4};

std::string_view line_of(std::string_view source, std::size_t number) {
    for (; number > 1; --number) {
        const auto end = source.find('\n');
        if (end == std::string_view::npos) return {};
        source.remove_prefix(end + 1);
    }
    source = source.substr(0, source.find('\n'));
    source.remove_prefix(std::min(source.find_first_not_of(" \t"), source.size()));
    return source;
}

// wasmtime's parser says "what\n  --> <anon>:LINE:COLUMN\n" and draws the place; here it becomes one
// sentence.
std::string wat_message(const wasmtime_error_t& error, std::string_view source) {
    Bytes bytes;
    wasmtime_error_message(&error, &bytes.vector);
    const std::string_view message = text(bytes.vector);
    constexpr std::string_view kPlace = "<anon>:";
    const auto place = message.find(kPlace);
    if (place == std::string_view::npos) return "compile: " + message_of(error);
    const std::string_view position = message.substr(place + kPlace.size());
    const std::string line(position.substr(0, position.find(':')));
    const std::string_view behind = position.substr(std::min(line.size() + 1, position.size()));
    const std::string column(behind.substr(0, behind.find_first_not_of("0123456789")));
    const std::string_view there = line_of(source, std::strtoul(line.c_str(), nullptr, 10));
    return "compile: line " + line + ", column " + column + ": " +
           std::string(message.substr(0, message.find('\n'))) +
           (there.empty() ? ", at the end of the text" : ", in " + in_quotes(there)) +
           "; correct the WAT there";
}

Expected<std::string> compile_binary(Engine& engine, std::string_view binary) {
    wasmtime_module_t* compiled = nullptr;
    if (const ErrorHandle error{wasmtime_module_new(engine_of(engine),
                                                    reinterpret_cast<const std::uint8_t*>(binary.data()),
                                                    binary.size(), &compiled)}) {
        return fail("compile: " + message_of(*error) + "; correct the module there");
    }
    const ModuleHandle module(compiled);
    Bytes serialized;
    if (const ErrorHandle error{wasmtime_module_serialize(module.get(), &serialized.vector)}) {
        return fail("compile: the compiled module cannot be written: " + message_of(*error));
    }
    return std::string(text(serialized.vector));
}

}  // namespace

Expected<std::string> compile(Engine& engine, std::string_view source) {
    if (source.empty()) return fail("compile: the source is empty; send WAT text or a WASM binary");
    if (source.size() > kMaxSourceBytes) {
        return fail("compile: the source has " + std::to_string(source.size()) + " bytes, the limit is " +
                    std::to_string(kMaxSourceBytes) + "; make the controller smaller");
    }
    if (source.starts_with(kWasmMagic)) return compile_binary(engine, source);
    if (source.starts_with(kElfMagic)) {
        return fail(
            "compile: the source is machine code (ELF), not WAT or WASM; send the source it was made from");
    }
    Bytes binary;
    if (const ErrorHandle error{wasmtime_wat2wasm(source.data(), source.size(), &binary.vector)}) {
        return fail(wat_message(*error, source));
    }
    return compile_binary(engine, text(binary.vector));
}

}  // namespace holdfast::wasm
