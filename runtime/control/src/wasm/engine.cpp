#include "wasm/engine.hpp"

namespace holdfast::wasm {
namespace {

// What a controller may be made of. SIMD stays off: wasmtime's C API aborts the process when it is asked for
// the type of an exported function with a v128 in it. GC and exceptions allocate while they run.
void choose_features(wasm_config_t* config) {
    wasmtime_config_wasm_simd_set(config, false);
    wasmtime_config_wasm_relaxed_simd_set(config, false);
    wasmtime_config_wasm_threads_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_exceptions_set(config, false);
    wasmtime_config_wasm_function_references_set(config, false);
    wasmtime_config_wasm_gc_set(config, false);
    wasmtime_config_gc_support_set(config, false);
}

// One mapping of the full size: memory never moves, mlockall locks megabytes and not the default gigabytes,
// and without copy-on-write the first write to a data segment is no page fault.
void choose_memory(wasm_config_t* config) {
    wasmtime_config_memory_may_move_set(config, false);
    wasmtime_config_memory_reservation_set(config, kMaxMemoryBytes);
    wasmtime_config_memory_reservation_for_growth_set(config, 0);
    wasmtime_config_memory_guard_size_set(config, 0);
    wasmtime_config_memory_init_cow_set(config, false);
    wasmtime_config_max_wasm_stack_set(config, kMaxStackBytes);
}

wasm_trap_t* do_nothing(void*, wasmtime_caller_t*, wasmtime_val_raw_t*, std::size_t) { return nullptr; }

}  // namespace

// Enters wasmtime once, as tick() does, by calling a function that does nothing.
void WasmtimeEngine::prepare_thread() {
    const StoreHandle store(wasmtime_store_new(engine_.get(), nullptr, nullptr));
    wasm_valtype_vec_t no_params{};
    wasm_valtype_vec_t no_results{};
    const FunctionType type(wasm_functype_new(&no_params, &no_results));
    wasmtime_func_t function{};
    wasmtime_context_t* context = wasmtime_store_context(store.get());
    wasmtime_func_new_unchecked(context, type.get(), do_nothing, nullptr, nullptr, &function);
    wasm_trap_t* trap = nullptr;
    const ErrorHandle error(wasmtime_func_call_unchecked(context, &function, nullptr, 0, &trap));
}

Expected<std::shared_ptr<Engine>> Engine::create() {
    wasm_config_t* config = wasm_config_new();
    choose_features(config);
    choose_memory(config);
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_SPEED);
    wasmtime_config_cranelift_nan_canonicalization_set(config, true);
    wasmtime_config_parallel_compilation_set(config, false);
    // Every check is compiled in: no signal handler in a real-time process, and a real SIGSEGV stays a crash.
    wasmtime_config_signals_based_traps_set(config, false);
    EngineHandle engine(wasm_engine_new_with_config(config));
    if (!engine)
        return fail("engine: wasmtime refuses its settings on this machine; its package must be 50.0.1");
    return std::make_shared<WasmtimeEngine>(std::move(engine));
}

}  // namespace holdfast::wasm
