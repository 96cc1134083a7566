#include "wasm/controller.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "ipc/file_descriptor.hpp"
#include "ipc/user.hpp"
#include "rt/clock.hpp"
#include "wasm/engine.hpp"
#include "wasm/host.hpp"
#include "wasm/trap.hpp"

namespace holdfast::wasm {
namespace {

constexpr std::string_view kProcess = "process";
constexpr std::int64_t kEpochNs = 1'000'000;
constexpr std::int64_t kMaxInstances = 1;
constexpr std::int64_t kMaxTables = 4;
constexpr std::int64_t kMaxMemories = 1;

// The current epoch has begun already: one more lets a tick that keeps its budget always finish. What ran
// longer than the budget and yet finished is found by the clock.
std::uint64_t epochs(std::int64_t budget_ns) {
    return static_cast<std::uint64_t>((budget_ns + kEpochNs - 1) / kEpochNs + 1);
}

// Of a shared budget nothing may be exceeded: the current epoch counts as a whole one.
std::uint64_t epochs_within(std::int64_t left_ns) { return static_cast<std::uint64_t>(left_ns / kEpochNs); }

std::string dotted(std::string_view module, std::string_view name) {
    return in_quotes(std::string(module) + "." + std::string(name));
}

// Hazard: what is mapped here runs as machine code in this process. Who may ask for it is not who may write
// it: nothing that somebody else wrote is ever a file of holdfast-verify's user (decision 0092).
Expected<FileDescriptor> open_code(const std::filesystem::path& cwasm) {
    // Opening a FIFO would wait for its writer, and the control socket with it.
    FileDescriptor fd(::open(cwasm.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return fail("load: " + cwasm.string() +
                    " cannot be read; check that it exists, is a file, and its permissions");
    }
    const bool ours = is_own_or(status.st_uid, "holdfast-verify");
    if (!ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return fail("load: " + cwasm.string() +
                    " could have been written by somebody else than holdfast-verify (uid " +
                    std::to_string(status.st_uid) + "); deploy its source again");
    }
    return fd;
}

Expected<ModuleHandle> map_module(Engine& engine, const std::filesystem::path& cwasm) {
    const auto code = open_code(cwasm);
    if (!code) return tl::unexpected(code.error());
    // By its descriptor: another file may have taken its name by now.
    const std::string file = "/proc/self/fd/" + std::to_string(code->get());
    wasmtime_module_t* module = nullptr;
    if (const ErrorHandle error{wasmtime_module_deserialize_file(engine_of(engine), file.c_str(), &module)}) {
        return fail("load: " + cwasm.string() + " was not compiled by this version of Holdfast (" +
                    message_of(*error) + "); deploy its source again");
    }
    return ModuleHandle(module);
}

Expected<void> check_imports(const wasmtime_module_t* module) {
    Imports imports;
    wasmtime_module_imports(module, &imports.vector);
    for (const wasm_importtype_t* import : imports) {
        const std::string_view from = text(*wasm_importtype_module(import));
        const std::string_view name = text(*wasm_importtype_name(import));
        if (find_host_function(from, name) == nullptr) {
            return fail("link: unknown import " + dotted(from, name) + "; remove it or use one of " +
                        host_function_names());
        }
    }
    return {};
}

bool is_process_type(const wasm_functype_t* type) {
    const wasm_valtype_vec_t* params = wasm_functype_params(type);
    return wasm_functype_results(type)->size == 0 && params->size == 1 &&
           wasm_valtype_kind(params->data[0]) == WASM_I64;
}

Expected<void> check_exports(const wasmtime_module_t* module) {
    constexpr std::string_view kMend =
        R"(; declare it as (func (export "process") (param i64) ...), with no result)";
    Exports exports;
    wasmtime_module_exports(module, &exports.vector);
    for (const wasm_exporttype_t* exported : exports) {
        if (text(*wasm_exporttype_name(exported)) != kProcess) continue;
        const wasm_externtype_t* type = wasm_exporttype_type(exported);
        if (wasm_externtype_kind(type) != WASM_EXTERN_FUNC) {
            return fail("link: the export `process` is not a function" + std::string(kMend));
        }
        if (!is_process_type(wasm_externtype_as_functype_const(type))) {
            return fail("link: the export `process` does not have the type (i64) -> ()" + std::string(kMend));
        }
        return {};
    }
    return fail("link: the export `process` is missing" + std::string(kMend));
}

// Which of the known imports has another type: wasmtime names it as `module::name` and gives both types.
std::string link_message(const wasmtime_error_t& error) {
    const std::string message = message_of(error);
    for (const HostFunction& function : host_functions()) {
        const std::string name = "`" + std::string(function.module) + "::" + std::string(function.name) + "`";
        if (message.find(name) == std::string::npos) continue;
        return "link: the import " + dotted(function.module, function.name) +
               " has another type than the host's " + std::string(function.signature) + " (" + message +
               "); declare it with that type";
    }
    return "link: " + message + "; correct the module's imports";
}

Expected<InstancePre> link(Engine& engine, const wasmtime_module_t* module, Host& host) {
    if (auto checked = check_imports(module); !checked) return tl::unexpected(checked.error());
    if (auto checked = check_exports(module); !checked) return tl::unexpected(checked.error());
    const LinkerHandle linker(wasmtime_linker_new(engine_of(engine)));
    define_host_functions(linker.get(), host);
    wasmtime_instance_pre_t* linked = nullptr;
    if (const ErrorHandle error{wasmtime_linker_instantiate_pre(linker.get(), module, &linked)}) {
        return fail(link_message(*error));
    }
    return InstancePre(linked);
}

std::string too_big_message(const wasmtime_error_t& error) {
    return "instantiate: " + message_of(error) + "; a controller may have 1 memory of at most " +
           std::to_string(kMaxMemoryBytes / 65536) + " pages (16 MiB) and " + std::to_string(kMaxTables) +
           " tables of at most " + std::to_string(kMaxTableElements) + " elements: declare less";
}

std::string budget_text(std::int64_t ns) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%g ms", static_cast<double>(ns) / 1e6);
    return buffer.data();
}

class WasmtimeController final : public Controller {
  public:
    WasmtimeController(std::shared_ptr<Engine> engine, const RobotConfig& config)
        : engine_(std::move(engine)),
          budget_ns_(config.tick_budget_ns()),
          budget_epochs_(epochs(config.tick_budget_ns())),
          host_(config),
          store_(wasmtime_store_new(engine_of(*engine_), nullptr, nullptr)),
          context_(wasmtime_store_context(store_.get())) {
        wasmtime_store_limiter(store_.get(), kMaxMemoryBytes, kMaxTableElements, kMaxInstances, kMaxTables,
                               kMaxMemories);
    }

    Expected<void> instantiate(const std::filesystem::path& cwasm) {
        auto module = map_module(*engine_, cwasm);
        if (!module) return tl::unexpected(module.error());
        auto linked = link(*engine_, module->get(), host_);
        if (!linked) return tl::unexpected(linked.error());
        TickOutput output;
        host_.begin({}, output);
        if (auto started = start(linked->get()); !started) return started;
        if (output.estop_requested || output.set != 0 || output.not_finite_count != 0) {
            return fail(
                "instantiate: the start function sets commands or requests an e-stop, which no tick asked "
                "for; do that in process only");
        }
        return {};
    }

    TickResult tick(std::int64_t number, const TickInput& input, TickOutput& output) override {
        host_.begin(input, output);
        wasmtime_val_raw_t argument{.i64 = number};
        wasm_trap_t* trap = nullptr;
        const bool shared = input.left_ns > 0;
        const std::int64_t budget_ns = shared ? std::min(input.left_ns, budget_ns_) : budget_ns_;
        wasmtime_context_set_epoch_deadline(context_, shared ? epochs_within(budget_ns) : budget_epochs_);
        const std::int64_t begin_ns = monotonic_ns();
        wasmtime_error_t* error = wasmtime_func_call_unchecked(context_, &process_, &argument, 1, &trap);
        const std::int64_t elapsed_ns = monotonic_ns() - begin_ns;
        if (error == nullptr && trap == nullptr && elapsed_ns <= budget_ns) return TickResult::kOk;
        failed_budget_ns_ = budget_ns;
        return failed(number, elapsed_ns, ErrorHandle(error), TrapHandle(trap));
    }

    std::string trap_message() const override {
        const std::string call = "process(" + std::to_string(failed_tick_) + ")";
        if (trap_ && !is_interrupt(*trap_)) return call + " trapped" + describe_trap(*trap_);
        if (error_) return call + " failed: " + message_of(*error_) + "; correct the module";
        return call + (trap_ ? " was interrupted" + place_of(*trap_) : " came back late") + " after " +
               budget_text(failed_elapsed_ns_) + ", " + share_text() +
               "; bound its loops and do less in one tick";
    }

  private:
    std::string share_text() const {
        if (failed_budget_ns_ == budget_ns_) return "its budget is " + budget_text(budget_ns_);
        return "the controller that runs left it " + budget_text(failed_budget_ns_) + " of the " +
               budget_text(budget_ns_) + " that both share";
    }

    Expected<void> start(const wasmtime_instance_pre_t* linked) {
        wasm_trap_t* raw_trap = nullptr;
        wasmtime_instance_t instance{};
        wasmtime_context_set_epoch_deadline(context_, budget_epochs_);
        const ErrorHandle error(wasmtime_instance_pre_instantiate(linked, context_, &instance, &raw_trap));
        const TrapHandle trap(raw_trap);
        if (error) return fail(too_big_message(*error));
        if (trap && is_interrupt(*trap)) {
            return fail("instantiate: the start function did not end within " + budget_text(budget_ns_) +
                        place_of(*trap) + "; bound its loops or do the work in process, a part each tick");
        }
        if (trap) return fail("instantiate: the module's start trapped" + describe_trap(*trap));
        wasmtime_extern_t exported{};
        if (!wasmtime_instance_export_get(context_, &instance, kProcess.data(), kProcess.size(), &exported)) {
            return fail("link: the export `process` is missing");
        }
        process_ = exported.of.func;
        return {};
    }

    TickResult failed(std::int64_t number, std::int64_t elapsed_ns, ErrorHandle error, TrapHandle trap) {
        TickResult result = TickResult::kTrap;
        if (!error && !trap) result = TickResult::kLate;
        if (trap && is_interrupt(*trap)) result = TickResult::kDeadline;
        failed_tick_ = number;
        failed_elapsed_ns_ = elapsed_ns;
        error_ = std::move(error);
        trap_ = std::move(trap);
        return result;
    }

    std::shared_ptr<Engine> engine_;
    std::int64_t budget_ns_;
    std::uint64_t budget_epochs_;
    Host host_;
    StoreHandle store_;
    wasmtime_context_t* context_;
    wasmtime_func_t process_{};
    ErrorHandle error_;
    TrapHandle trap_;
    std::int64_t failed_tick_{};
    std::int64_t failed_elapsed_ns_{};
    std::int64_t failed_budget_ns_{};
};

}  // namespace

Expected<std::unique_ptr<Controller>> Controller::load(std::shared_ptr<Engine> engine,
                                                       const RobotConfig& config,
                                                       const std::filesystem::path& cwasm) {
    auto controller = std::make_unique<WasmtimeController>(std::move(engine), config);
    if (auto done = controller->instantiate(cwasm); !done) return tl::unexpected(done.error());
    return controller;
}

}  // namespace holdfast::wasm
