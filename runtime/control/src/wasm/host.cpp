#include "wasm/host.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>

namespace holdfast::wasm {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::int64_t wall_ns() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// wasmtime passes arguments and result in the same slots; a host function never traps.
using Slots = wasmtime_val_raw_t*;
template <void (*Function)(Host&, Slots)>
wasm_trap_t* call(void* host, wasmtime_caller_t*, Slots slots, std::size_t) {
    Function(*static_cast<Host*>(host), slots);
    return nullptr;
}

void command_set(Host& host, Slots slots) { slots[0].i32 = host.set_command(slots[0].i32, slots[1].f64); }
void command_count(Host& host, Slots slots) { slots[0].i32 = host.command_count(); }
void command_limit_min(Host& host, Slots slots) { slots[0].f64 = host.limit_min(slots[0].i32); }
void command_limit_max(Host& host, Slots slots) { slots[0].f64 = host.limit_max(slots[0].i32); }
void state_get(Host& host, Slots slots) { slots[0].f64 = host.state(slots[0].i32); }
void state_count(Host& host, Slots slots) { slots[0].i32 = host.state_count(); }
void math_sin(Host&, Slots slots) { slots[0].f64 = std::sin(slots[0].f64); }
void math_cos(Host&, Slots slots) { slots[0].f64 = std::cos(slots[0].f64); }
void request_estop(Host& host, Slots) { host.request_estop(); }
void now_ns(Host&, Slots slots) { slots[0].i64 = wall_ns(); }
void sim_time_ns(Host& host, Slots slots) { slots[0].i64 = host.sim_time_ns(); }
void emit_metric(Host& host, Slots slots) { host.emit_metric(slots[0].f64); }

constexpr std::array<wasm_valkind_t, 0> kNone{};
constexpr std::array kI32{WASM_I32};
constexpr std::array kI64{WASM_I64};
constexpr std::array kF64{WASM_F64};
constexpr std::array kI32F64{WASM_I32, WASM_F64};

constexpr std::array<HostFunction, 12> kFunctions{{
    {"command", "set", "(i32, f64) -> (i32)", kI32F64, kI32, call<command_set>},
    {"command", "count", "() -> (i32)", kNone, kI32, call<command_count>},
    {"command", "limit_min", "(i32) -> (f64)", kI32, kF64, call<command_limit_min>},
    {"command", "limit_max", "(i32) -> (f64)", kI32, kF64, call<command_limit_max>},
    {"state", "get", "(i32) -> (f64)", kI32, kF64, call<state_get>},
    {"state", "count", "() -> (i32)", kNone, kI32, call<state_count>},
    {"math", "sin", "(f64) -> (f64)", kF64, kF64, call<math_sin>},
    {"math", "cos", "(f64) -> (f64)", kF64, kF64, call<math_cos>},
    {"safety", "request_estop", "() -> ()", kNone, kNone, call<request_estop>},
    {"timing", "now_ns", "() -> (i64)", kNone, kI64, call<now_ns>},
    {"timing", "sim_time_ns", "() -> (i64)", kNone, kI64, call<sim_time_ns>},
    {"telemetry", "emit_metric", "(f64) -> ()", kF64, kNone, call<emit_metric>},
}};

wasm_valtype_vec_t types(std::span<const wasm_valkind_t> kinds) {
    std::array<wasm_valtype_t*, 2> made{};
    std::transform(kinds.begin(), kinds.end(), made.begin(), wasm_valtype_new);
    wasm_valtype_vec_t vector{};
    wasm_valtype_vec_new(&vector, kinds.size(), made.data());
    return vector;
}

}  // namespace

Host::Host(const RobotConfig& config)
    : command_count_(config.commands.size()), state_count_(config.readable_count()) {
    std::transform(config.commands.begin(), config.commands.end(), limits_.begin(),
                   [](const CommandChannel& channel) { return channel.limits; });
}

void Host::begin(const TickInput& input, TickOutput& output) {
    input_ = input;
    output_ = &output;
    output.set = 0;
    output.not_finite_channel = output.clamped_channel = -1;
    output.not_finite_count = output.clamped_count = output.no_channel_count = 0;
    output.estop_requested = false;
    output.metric_count = output.metrics_dropped = 0;
}

std::int32_t Host::set_command(std::int32_t channel, double value) {
    if (!is_command(channel)) {
        if (output_->no_channel_count++ == 0) output_->no_channel = channel;
        return -1;
    }
    if (!std::isfinite(value)) {
        if (output_->not_finite_count++ == 0) {
            output_->not_finite_channel = channel;
            output_->not_finite_value = value;
        }
        return -1;
    }
    const auto index = static_cast<std::size_t>(channel);
    const double limited = std::clamp(value, limits_[index].min, limits_[index].max);
    output_->value[index] = limited;
    output_->set |= 1u << index;
    if (limited == value) return 0;
    if (output_->clamped_count++ == 0) {
        output_->clamped_channel = channel;
        output_->clamped_value = value;
    }
    return -2;
}

double Host::limit_min(std::int32_t channel) const {
    return is_command(channel) ? limits_[static_cast<std::size_t>(channel)].min : kNan;
}

double Host::limit_max(std::int32_t channel) const {
    return is_command(channel) ? limits_[static_cast<std::size_t>(channel)].max : kNan;
}

double Host::state(std::int32_t channel) const {
    const auto index = static_cast<std::size_t>(channel);
    return channel >= 0 && index < input_.state.size() ? input_.state[index] : kNan;
}

void Host::emit_metric(double value) {
    if (output_->metric_count == output_->metrics.size()) {
        ++output_->metrics_dropped;
        return;
    }
    output_->metrics[output_->metric_count++] = value;
}

std::span<const HostFunction> host_functions() { return kFunctions; }

const HostFunction* find_host_function(std::string_view module, std::string_view name) {
    const auto found = std::find_if(kFunctions.begin(), kFunctions.end(), [&](const HostFunction& function) {
        return function.module == module && function.name == name;
    });
    return found == kFunctions.end() ? nullptr : found;
}

std::string host_function_names() {
    std::string names;
    for (const HostFunction& function : kFunctions) {
        if (!names.empty()) names += ", ";
        names.append(function.module).append(".").append(function.name);
    }
    return names;
}

void define_host_functions(wasmtime_linker_t* linker, Host& host) {
    for (const HostFunction& function : kFunctions) {
        wasm_valtype_vec_t params = types(function.params);
        wasm_valtype_vec_t results = types(function.results);
        const FunctionType type(wasm_functype_new(&params, &results));
        // Fails only for a name defined twice, and the table's names differ.
        const ErrorHandle error(wasmtime_linker_define_func_unchecked(
            linker, function.module.data(), function.module.size(), function.name.data(),
            function.name.size(), type.get(), function.call, &host, nullptr));
    }
}

}  // namespace holdfast::wasm
