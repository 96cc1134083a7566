// The part of wasmtime's C API 50.0.1 that Holdfast uses. The PyPI package carries the library but no header;
// these are our own declarations. runtime/tests/test_wasmtime_api.py compares every one of them, the sizes
// and the constants with the package's own bindings. One declaration a statement, so that the test can read
// this file.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct wasm_config_t;
struct wasm_engine_t;
struct wasm_exporttype_t;
struct wasm_externtype_t;
struct wasm_frame_t;
struct wasm_functype_t;
struct wasm_importtype_t;
struct wasm_trap_t;
struct wasm_valtype_t;
struct wasmtime_caller_t;
struct wasmtime_context_t;
struct wasmtime_error_t;
struct wasmtime_instance_pre_t;
struct wasmtime_linker_t;
struct wasmtime_module_t;
struct wasmtime_sharedmemory_t;
struct wasmtime_store_t;

// The names are those of wasm.h and wasmtime.h.
// NOLINTBEGIN(readability-identifier-naming)
using wasm_externkind_t = std::uint8_t;
using wasm_valkind_t = std::uint8_t;
using wasmtime_opt_level_t = std::uint8_t;
using wasmtime_trap_code_t = std::uint8_t;

inline constexpr wasm_externkind_t WASM_EXTERN_FUNC = 0;
inline constexpr wasm_valkind_t WASM_I32 = 0;
inline constexpr wasm_valkind_t WASM_I64 = 1;
inline constexpr wasm_valkind_t WASM_F64 = 3;
inline constexpr wasmtime_opt_level_t WASMTIME_OPT_LEVEL_SPEED = 1;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_STACK_OVERFLOW = 0;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS = 1;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS = 3;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL = 4;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_BAD_SIGNATURE = 5;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_INTEGER_OVERFLOW = 6;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO = 7;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER = 8;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED = 9;
inline constexpr wasmtime_trap_code_t WASMTIME_TRAP_CODE_INTERRUPT = 10;

struct wasm_byte_vec_t {
    std::size_t size;
    char* data;
};
using wasm_name_t = wasm_byte_vec_t;
using wasm_message_t = wasm_byte_vec_t;
struct wasm_exporttype_vec_t {
    std::size_t size;
    wasm_exporttype_t** data;
};
struct wasm_frame_vec_t {
    std::size_t size;
    wasm_frame_t** data;
};
struct wasm_importtype_vec_t {
    std::size_t size;
    wasm_importtype_t** data;
};
struct wasm_valtype_vec_t {
    std::size_t size;
    wasm_valtype_t** data;
};
struct wasmtime_func_t {
    std::uint64_t store_id;
    void* private_data;
};
struct wasmtime_instance_t {
    std::uint64_t store_id;
    std::size_t private_data;
};
// Of what an instance exports only functions are looked at; `storage` keeps the place of the other kinds.
struct wasmtime_extern_t {
    wasm_externkind_t kind;
    union {
        wasmtime_func_t func;
        std::uint64_t storage[3];
    } of;
};
union wasmtime_val_raw_t {
    std::int32_t i32;
    std::int64_t i64;
    double f64;
    std::uint8_t v128[16];
};
static_assert(sizeof(wasm_byte_vec_t) == 16);
static_assert(sizeof(wasm_exporttype_vec_t) == 16);
static_assert(sizeof(wasm_frame_vec_t) == 16);
static_assert(sizeof(wasm_importtype_vec_t) == 16);
static_assert(sizeof(wasm_valtype_vec_t) == 16);
static_assert(sizeof(wasmtime_func_t) == 16);
static_assert(sizeof(wasmtime_instance_t) == 16);
static_assert(sizeof(wasmtime_extern_t) == 32);
static_assert(offsetof(wasmtime_extern_t, of) == 8);
static_assert(sizeof(wasmtime_val_raw_t) == 16);

using wasmtime_finalizer_t = void (*)(void*);
using wasmtime_func_unchecked_callback_t = wasm_trap_t* (*)(void*, wasmtime_caller_t*, wasmtime_val_raw_t*,
                                                            std::size_t);

// NOLINTEND(readability-identifier-naming)

wasm_config_t* wasm_config_new();
void wasmtime_config_epoch_interruption_set(wasm_config_t*, bool);
void wasmtime_config_max_wasm_stack_set(wasm_config_t*, std::size_t);
void wasmtime_config_wasm_threads_set(wasm_config_t*, bool);
void wasmtime_config_wasm_simd_set(wasm_config_t*, bool);
void wasmtime_config_wasm_relaxed_simd_set(wasm_config_t*, bool);
void wasmtime_config_wasm_memory64_set(wasm_config_t*, bool);
void wasmtime_config_wasm_multi_memory_set(wasm_config_t*, bool);
void wasmtime_config_wasm_exceptions_set(wasm_config_t*, bool);
void wasmtime_config_wasm_gc_set(wasm_config_t*, bool);
void wasmtime_config_wasm_function_references_set(wasm_config_t*, bool);
void wasmtime_config_gc_support_set(wasm_config_t*, bool);
void wasmtime_config_parallel_compilation_set(wasm_config_t*, bool);
void wasmtime_config_cranelift_nan_canonicalization_set(wasm_config_t*, bool);
void wasmtime_config_cranelift_opt_level_set(wasm_config_t*, wasmtime_opt_level_t);
void wasmtime_config_signals_based_traps_set(wasm_config_t*, bool);
void wasmtime_config_memory_may_move_set(wasm_config_t*, bool);
void wasmtime_config_memory_reservation_set(wasm_config_t*, std::uint64_t);
void wasmtime_config_memory_guard_size_set(wasm_config_t*, std::uint64_t);
void wasmtime_config_memory_reservation_for_growth_set(wasm_config_t*, std::uint64_t);
void wasmtime_config_memory_init_cow_set(wasm_config_t*, bool);

wasm_engine_t* wasm_engine_new_with_config(wasm_config_t*);
void wasm_engine_delete(wasm_engine_t*);
void wasmtime_engine_increment_epoch(wasm_engine_t*);

wasmtime_error_t* wasmtime_wat2wasm(const char*, std::size_t, wasm_byte_vec_t*);
wasmtime_error_t* wasmtime_module_new(wasm_engine_t*, const std::uint8_t*, std::size_t, wasmtime_module_t**);
wasmtime_error_t* wasmtime_module_serialize(wasmtime_module_t*, wasm_byte_vec_t*);
wasmtime_error_t* wasmtime_module_deserialize_file(wasm_engine_t*, const char*, wasmtime_module_t**);
void wasmtime_module_delete(wasmtime_module_t*);
void wasmtime_module_imports(const wasmtime_module_t*, wasm_importtype_vec_t*);
void wasmtime_module_exports(const wasmtime_module_t*, wasm_exporttype_vec_t*);

const wasm_name_t* wasm_importtype_module(const wasm_importtype_t*);
const wasm_name_t* wasm_importtype_name(const wasm_importtype_t*);
const wasm_name_t* wasm_exporttype_name(const wasm_exporttype_t*);
const wasm_externtype_t* wasm_exporttype_type(const wasm_exporttype_t*);
wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t*);
const wasm_functype_t* wasm_externtype_as_functype_const(const wasm_externtype_t*);
const wasm_valtype_vec_t* wasm_functype_params(const wasm_functype_t*);
const wasm_valtype_vec_t* wasm_functype_results(const wasm_functype_t*);
wasm_functype_t* wasm_functype_new(wasm_valtype_vec_t*, wasm_valtype_vec_t*);
void wasm_functype_delete(wasm_functype_t*);
wasm_valtype_t* wasm_valtype_new(wasm_valkind_t);
wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t*);
void wasm_valtype_vec_new(wasm_valtype_vec_t*, std::size_t, wasm_valtype_t* const*);
void wasm_importtype_vec_delete(wasm_importtype_vec_t*);
void wasm_exporttype_vec_delete(wasm_exporttype_vec_t*);
void wasm_byte_vec_delete(wasm_byte_vec_t*);

wasmtime_store_t* wasmtime_store_new(wasm_engine_t*, void*, wasmtime_finalizer_t);
wasmtime_context_t* wasmtime_store_context(wasmtime_store_t*);
void wasmtime_store_limiter(wasmtime_store_t*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            std::int64_t);
void wasmtime_store_delete(wasmtime_store_t*);
void wasmtime_context_set_epoch_deadline(wasmtime_context_t*, std::uint64_t);

wasmtime_linker_t* wasmtime_linker_new(wasm_engine_t*);
void wasmtime_linker_delete(wasmtime_linker_t*);
wasmtime_error_t* wasmtime_linker_define_func_unchecked(wasmtime_linker_t*, const char*, std::size_t,
                                                        const char*, std::size_t, const wasm_functype_t*,
                                                        wasmtime_func_unchecked_callback_t, void*,
                                                        wasmtime_finalizer_t);
wasmtime_error_t* wasmtime_linker_instantiate_pre(const wasmtime_linker_t*, const wasmtime_module_t*,
                                                  wasmtime_instance_pre_t**);
wasmtime_error_t* wasmtime_instance_pre_instantiate(const wasmtime_instance_pre_t*, wasmtime_context_t*,
                                                    wasmtime_instance_t*, wasm_trap_t**);
void wasmtime_instance_pre_delete(wasmtime_instance_pre_t*);
bool wasmtime_instance_export_get(wasmtime_context_t*, const wasmtime_instance_t*, const char*, std::size_t,
                                  wasmtime_extern_t*);
void wasmtime_func_new_unchecked(wasmtime_context_t*, const wasm_functype_t*,
                                 wasmtime_func_unchecked_callback_t, void*, wasmtime_finalizer_t,
                                 wasmtime_func_t*);
wasmtime_error_t* wasmtime_func_call_unchecked(wasmtime_context_t*, const wasmtime_func_t*,
                                               wasmtime_val_raw_t*, std::size_t, wasm_trap_t**);

void wasmtime_error_message(const wasmtime_error_t*, wasm_name_t*);
void wasmtime_error_delete(wasmtime_error_t*);
bool wasmtime_trap_code(const wasm_trap_t*, wasmtime_trap_code_t*);
void wasm_trap_message(const wasm_trap_t*, wasm_message_t*);
void wasm_trap_trace(const wasm_trap_t*, wasm_frame_vec_t*);
void wasm_trap_delete(wasm_trap_t*);
const wasm_name_t* wasmtime_frame_func_name(const wasm_frame_t*);
std::uint32_t wasm_frame_func_index(const wasm_frame_t*);
std::size_t wasm_frame_module_offset(const wasm_frame_t*);
void wasm_frame_vec_delete(wasm_frame_vec_t*);

}  // extern "C"
