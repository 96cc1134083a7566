// The host functions of DESIGN §3. The controller's thread calls them: no allocation, lock or system call but
// the clock's.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "wasm/controller.hpp"
#include "wasm/handles.hpp"

namespace holdfast::wasm {

// What the host functions see and change; the channel table is fixed, input and output are those of the tick.
class Host {
  public:
    explicit Host(const RobotConfig& config);
    // Readies both for one call into the module.
    void begin(const TickInput& input, TickOutput& output);

    [[nodiscard]] std::int32_t set_command(std::int32_t channel, double value);
    [[nodiscard]] std::int32_t command_count() const { return static_cast<std::int32_t>(command_count_); }
    [[nodiscard]] std::int32_t state_count() const { return static_cast<std::int32_t>(state_count_); }
    [[nodiscard]] double limit_min(std::int32_t channel) const;
    [[nodiscard]] double limit_max(std::int32_t channel) const;
    [[nodiscard]] double state(std::int32_t channel) const;
    [[nodiscard]] std::int64_t sim_time_ns() const { return input_.sim_time_ns; }
    void request_estop() { output_->estop_requested = true; }
    void emit_metric(double value);

  private:
    [[nodiscard]] bool is_command(std::int32_t channel) const {
        return channel >= 0 && static_cast<std::size_t>(channel) < command_count_;
    }
    std::array<Range, kMaxCommandChannels> limits_{};
    std::size_t command_count_;
    std::size_t state_count_;
    TickInput input_{};
    TickOutput* output_{};
};

// One row per import: its name, its type in WebAssembly and the function.
struct HostFunction {
    std::string_view module;
    std::string_view name;
    std::string_view signature;
    std::span<const wasm_valkind_t> params;
    std::span<const wasm_valkind_t> results;
    wasmtime_func_unchecked_callback_t call;
};

[[nodiscard]] std::span<const HostFunction> host_functions();
[[nodiscard]] const HostFunction* find_host_function(std::string_view module, std::string_view name);
// "command.set, command.count, ..." for a message.
[[nodiscard]] std::string host_function_names();
// Makes all of them known to a linker. `host` outlives what is linked.
void define_host_functions(wasmtime_linker_t* linker, Host& host);

}  // namespace holdfast::wasm
