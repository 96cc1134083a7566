// Owners of wasmtime's C objects, and their texts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wasm/wasmtime_api.hpp"

namespace holdfast::wasm {

template <auto Delete>
struct Deleter {
    template <typename T>
    void operator()(T* object) const {
        Delete(object);
    }
};

using EngineHandle = std::unique_ptr<wasm_engine_t, Deleter<wasm_engine_delete>>;
using ErrorHandle = std::unique_ptr<wasmtime_error_t, Deleter<wasmtime_error_delete>>;
using FunctionType = std::unique_ptr<wasm_functype_t, Deleter<wasm_functype_delete>>;
using InstancePre = std::unique_ptr<wasmtime_instance_pre_t, Deleter<wasmtime_instance_pre_delete>>;
using LinkerHandle = std::unique_ptr<wasmtime_linker_t, Deleter<wasmtime_linker_delete>>;
using ModuleHandle = std::unique_ptr<wasmtime_module_t, Deleter<wasmtime_module_delete>>;
using StoreHandle = std::unique_ptr<wasmtime_store_t, Deleter<wasmtime_store_delete>>;
using TrapHandle = std::unique_ptr<wasm_trap_t, Deleter<wasm_trap_delete>>;

template <typename Vector, auto Delete>
struct VectorHandle {
    VectorHandle() = default;
    VectorHandle(const VectorHandle&) = delete;
    VectorHandle& operator=(const VectorHandle&) = delete;
    ~VectorHandle() { Delete(&vector); }
    auto begin() const { return vector.data; }
    auto end() const { return vector.data + vector.size; }
    Vector vector{};
};

using Bytes = VectorHandle<wasm_byte_vec_t, wasm_byte_vec_delete>;
using Exports = VectorHandle<wasm_exporttype_vec_t, wasm_exporttype_vec_delete>;
using Frames = VectorHandle<wasm_frame_vec_t, wasm_frame_vec_delete>;
using Imports = VectorHandle<wasm_importtype_vec_t, wasm_importtype_vec_delete>;

[[nodiscard]] inline std::string_view text(const wasm_byte_vec_t& bytes) { return {bytes.data, bytes.size}; }

// wasmtime's message with its chain of causes in one line: "a: b: c".
[[nodiscard]] std::string message_of(const wasmtime_error_t& error);

// A name that a module chose, in back quotes, cut to a readable length.
[[nodiscard]] std::string in_quotes(std::string_view name);

}  // namespace holdfast::wasm
