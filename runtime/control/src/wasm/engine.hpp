// The one implementation behind Engine, for the files of this folder.
#pragma once

#include "wasm/controller.hpp"
#include "wasm/handles.hpp"

namespace holdfast::wasm {

// Deep enough for real controllers, and small beside the stack of the thread that calls them.
inline constexpr std::size_t kMaxStackBytes = 256u << 10;

class WasmtimeEngine final : public Engine {
  public:
    explicit WasmtimeEngine(EngineHandle engine) : engine_(std::move(engine)) {}
    void increment_epoch() override { wasmtime_engine_increment_epoch(engine_.get()); }
    void prepare_thread() override;
    [[nodiscard]] wasm_engine_t* get() const { return engine_.get(); }

  private:
    EngineHandle engine_;
};

[[nodiscard]] inline wasm_engine_t* engine_of(Engine& engine) {
    return static_cast<WasmtimeEngine&>(engine).get();
}

}  // namespace holdfast::wasm
