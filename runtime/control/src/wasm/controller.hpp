// A WebAssembly controller in its sandbox: the host functions of DESIGN §3, 16 MiB of memory, an epoch
// deadline. Modules are compiled elsewhere (holdfast-verify) and mapped here from a .cwasm.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "error.hpp"
#include "robot/config.hpp"
#include "shm/layout.hpp"

namespace holdfast::wasm {

inline constexpr std::uint64_t kMaxMemoryBytes = 16u << 20;
inline constexpr std::uint64_t kMaxTableElements = 10'000;
inline constexpr std::size_t kMaxSourceBytes = 1u << 20;

struct TickInput {
    std::span<const double> state;  // one per state channel; NaN where stale
    std::int64_t sim_time_ns{};
    // What another controller left of the tick's budget; 0: the whole budget is this one's.
    std::int64_t left_ns{};
};

struct TickOutput {
    std::array<double, kMaxCommandChannels> value{};  // clamped to the limits; valid where `set`
    std::uint32_t set{};                              // bit per channel
    // Where command.set first met a value that was not finite, or was outside the limits (-1: nowhere), and
    // which.
    std::int32_t not_finite_channel{-1};
    std::int32_t clamped_channel{-1};
    double not_finite_value{};
    double clamped_value{};
    std::int32_t no_channel{};  // the first that does not exist; valid if no_channel_count > 0
    std::uint32_t not_finite_count{}, clamped_count{}, no_channel_count{};
    bool estop_requested{};
    std::array<double, 64> metrics{};  // telemetry.emit_metric, in order
    std::uint32_t metric_count{}, metrics_dropped{};
};

// Less than this of a shared budget cannot be enforced: the first epoch has begun already.
inline constexpr std::int64_t kMinSharedNs = 2'000'000;

// kDeadline: interrupted, it used up its budget of epochs. kLate: it ended by itself and its output is whole,
// but the clock says that it took longer than its budget.
enum class TickResult : std::uint8_t { kOk, kTrap, kDeadline, kLate };

// One per process. Engine settings must be equal wherever a .cwasm is written or read.
class Engine {
  public:
    [[nodiscard]] static Expected<std::shared_ptr<Engine>> create();
    virtual ~Engine() = default;
    // One epoch is one millisecond: the Tier-1 thread calls it each millisecond. Wait-free, any thread.
    virtual void increment_epoch() = 0;
    // A thread that will call tick() calls this first, once, before it is real-time: what wasmtime keeps for
    // each thread is then allocated here and not in the first tick.
    virtual void prepare_thread() = 0;
};

// Compiles WAT or WASM (told apart by the magic bytes) to a serialized module. Not for a real-time process.
// The error is one sentence: "compile: line 3, column 10: unknown func: failed to find name `$foo`, in `(call
// $foo)`; ..."
[[nodiscard]] Expected<std::string> compile(Engine& engine, std::string_view source);

class Controller {
  public:
    // Maps a .cwasm and instantiates it; its start function has the tick's deadline too, so the epoch must be
    // advancing. The error names the stage: "link: unknown import ...", "link: the export `process` ...",
    // "instantiate: ...". The file must come from compile() and be replaced by renaming only: it is mapped
    // and run as machine code.
    [[nodiscard]] static Expected<std::unique_ptr<Controller>> load(std::shared_ptr<Engine> engine,
                                                                    const RobotConfig& config,
                                                                    const std::filesystem::path& cwasm);
    virtual ~Controller() = default;
    // Calls process(tick). With a shared budget (left_ns) it is interrupted before that is used up, never
    // after. Real-time: no allocation on the way, none after a normal return. The calling thread needs 512
    // KiB of stack.
    [[nodiscard]] virtual TickResult tick(std::int64_t tick, const TickInput& input, TickOutput& output) = 0;
    // Of the last tick that was not kOk: what happened, in which function, and how to mend it. Not real-time.
    [[nodiscard]] virtual std::string trap_message() const = 0;
};

}  // namespace holdfast::wasm
