// All that passes between the three threads of holdfast-control. Nothing here locks, waits or allocates.
//
//   Tier-1 thread      --snapshot-->  controller thread  --setpoint-->  Tier-1 thread
//   Tier-1 thread      --status, events-->  service thread  --requests, safety-->  Tier-1 thread
//   controller thread  --lifecycle, events, metrics-->  service thread  --controller, sim-->  controller
//   thread
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "core/lifecycle.hpp"
#include "robot/config.hpp"
#include "rt/ring.hpp"
#include "rt/triple_buffer.hpp"
#include "shm/layout.hpp"
#include "shm/segment.hpp"
#include "wasm/controller.hpp"

namespace holdfast::core {

// What the controller may see. NaN where a sample is stale.
struct StateSnapshot {
    std::int64_t mono_ns{};
    bool run{};  // the robot is armed and its drives are ready: process(tick) is called
    shm::Mode mode{};
    std::array<double, kMaxStateChannels> state{};
};

// The controller's last answer, and what became of it. Published each period, with or without a controller.
struct Setpoint {
    std::int64_t mono_ns{};  // start of the tick that set these values; 0: none yet
    std::uint64_t generation{};
    std::uint64_t tick{};
    std::int64_t sim_time_ns{};
    shm::ControllerState state{};
    shm::ControllerFault fault{};
    std::uint32_t set{};  // bit per channel
    std::array<double, kMaxCommandChannels> value{};
};

// What operators asked for last, and when (CLOCK_MONOTONIC). 0: never.
struct InputSamples {
    std::array<double, kMaxInputChannels> value{};
    std::array<std::int64_t, kMaxInputChannels> mono_ns{};
};

// Why the robot is not armed. One bit each.
enum class Blocker : std::uint32_t {
    kLatched = 1u << 0,
    kSafetySilent = 1u << 1,
    kNotPermitted = 1u << 2,
    kNoController = 1u << 3,
    kControllerFaulted = 1u << 4,
    kRealtime = 1u << 5,
    kDriveError = 1u << 6,
    kStateStale = 1u << 7,
    kBusy = 1u << 8,  // armed or stopping already
    kDriveSilent = 1u << 9,
    kEstimate = 1u << 10,
    kPaused = 1u << 11,
    kFault = 1u << 12,
};

// What the service thread tells people, beyond the state segment.
struct Status {
    std::uint32_t blockers{};
    std::uint64_t stale_states{};      // bit per state channel
    std::uint32_t untrusted_joints{};  // bit per command channel
    shm::StopCause latch_cause{};
    std::array<std::uint32_t, kMaxDrives> axis_error{};
    std::uint32_t silent_drives{};  // bit per drive
};

// What the service thread asks of Tier-1. One bit each.
enum class Request : std::uint32_t {
    kArm = 1u << 0,
    kDisarm = 1u << 1,
    kClearErrors = 1u << 2,
    kIdleDrives = 1u << 3,  // for good: the process is about to end
    kPause = 1u << 4,
    kResume = 1u << 5,
    kClearFault = 1u << 6,
};

enum class StopReason : std::uint32_t {
    kOperator,
    kControllerTrap,
    kControllerOverrun,
    kControllerNotFinite,
    kControllerEstopRequest,
    kNoController,
    kSafetySilent,
    kOverruns,
    kDriveError,
    kDriveNotReady,
    kDriveSilent,
};

enum class EventKind : std::uint32_t {
    kArmed,
    kStopBegun,  // detail: StopReason, index: drive if one is meant
    kStandstill,
    kEstopSeen,  // detail: latch_sequence
    kEstopCleared,
    kControllerFault,  // detail: generation << 8 | ControllerFault, index: channel or -1
    kDriveError,       // detail: axis error, index: drive
    kDriveSilent,      // index: drive
    kStateChanged,     // on request; detail: Mode
    kFault,            // index: the drive that keeps its error
};

// A record for the log, written in a real-time thread and put into words by the service thread.
struct Event {
    EventKind kind{};
    std::int32_t index{-1};
    std::uint64_t detail{};
    std::int64_t mono_ns{};
};
using EventRing = Ring<Event, 256>;

// Each counter has one writing thread.
class Counters {
  public:
    void add(shm::Counter counter, std::uint64_t amount = 1) {
        auto& value = values_[static_cast<std::size_t>(counter)];
        value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t get(shm::Counter counter) const {
        return values_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
    }

  private:
    std::array<std::atomic<std::uint64_t>, shm::kMaxCounters> values_{};
};

// A controller with the number of its load.
struct LoadedController {
    std::unique_ptr<wasm::Controller> controller;
    std::uint64_t generation{};
    Stage first_stage{Stage::kActive};  // kActive: replaces the active one between two ticks
};

struct Exchange {
    TripleBuffer<StateSnapshot> snapshot;
    TripleBuffer<Setpoint> setpoint;
    TripleBuffer<Status> status;
    TripleBuffer<Lifecycle> lifecycle;
    TripleBuffer<InputSamples> inputs;  // service -> controller thread
    Counters counters;
    EventRing tier1_events;
    EventRing controller_events;
    Ring<double, 256> metrics;

    // Service -> Tier-1. Tier-1 answers an arm request with its number in the upper half and the blockers
    // below.
    std::atomic<std::uint32_t> requests{0};
    std::atomic<std::uint64_t> arm_answer{0};
    // Of a pause, resume or clear: its number, in the upper half; below, Mode before << 8 | 1 if it was done.
    std::atomic<std::uint64_t> answer{0};
    std::atomic<const shm::Reader<shm::SafetySegment>*> safety{nullptr};
    std::atomic<std::uint64_t> cycles{
        0};  // finished Tier-1 cycles: what it read before is free after two more

    // Service -> controller thread: the last hand-over, and the generation that shall not be staged further.
    // `taken` is the last hand-over that thread has seen; what it then uses is `in_use` and perhaps what it
    // took.
    std::atomic<LoadedController*> controller{nullptr};
    std::atomic<LoadedController*> taken{nullptr};
    std::atomic<LoadedController*> in_use{nullptr};
    std::atomic<std::uint64_t> withdrawn{0};
    std::atomic<double> sim_speed{1.0};
    std::atomic<bool> sim_paused{false};

    // True: nobody had taken it.
    bool withdraw(Request what) {
        const auto mask = static_cast<std::uint32_t>(what);
        return (requests.fetch_and(~mask, std::memory_order_acq_rel) & mask) != 0;
    }
    void request(Request what) {
        requests.fetch_or(static_cast<std::uint32_t>(what), std::memory_order_release);
    }
};

}  // namespace holdfast::core
