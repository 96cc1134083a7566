#include "tripwire/life.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "wasm/epoch_timer.hpp"

namespace holdfast::tripwire {
namespace {

using core::kMs;

// Every host function but those that end the run; `gain` tells the two controllers apart.
std::string controller_source(const char* gain) {
    return std::string(R"((module
      (import "command" "set" (func $set (param i32 f64) (result i32)))
      (import "command" "count" (func $commands (result i32)))
      (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
      (import "state" "get" (func $get (param i32) (result f64)))
      (import "math" "sin" (func $sin (param f64) (result f64)))
      (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))
      (import "timing" "now_ns" (func $now_ns (result i64)))
      (import "telemetry" "emit_metric" (func $emit (param f64)))
      (memory 1)
      (func (export "process") (param $tick i64)
        (local $channel i32)
        (drop (call $now_ns))
        (call $emit (call $get (i32.const 0)))
        (loop $each
          (drop (call $set (local.get $channel)
            (f64.mul (f64.mul (call $limit_max (local.get $channel)) (f64.const )") +
           gain + R"())
              (call $sin (f64.mul (f64.const 1.5e-9) (f64.convert_i64_s (call $sim_time_ns)))))))
          (local.set $channel (i32.add (local.get $channel) (i32.const 1)))
          (br_if $each (i32.lt_s (local.get $channel) (call $commands)))))))";
}

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "tripwire: %s\n", why.c_str());
    std::exit(2);
}

template <typename Value>
Value need(Expected<Value> value) {
    if (!value) give_up(value.error().message);
    return std::move(*value);
}

std::unique_ptr<wasm::Controller> controller(const std::shared_ptr<wasm::Engine>& engine,
                                             const RobotConfig& config, const std::filesystem::path& folder,
                                             const char* gain) {
    const auto file = folder / (std::string("controller-") + gain + ".cwasm");
    std::ofstream(file, std::ios::binary) << need(wasm::compile(*engine, controller_source(gain)));
    return need(wasm::Controller::load(engine, config, file));
}

// The cycle's own clock call is real; its value is the rig's, so that a millisecond need not pass.
std::int64_t rig_time() {
    (void)monotonic_ns();
    return core::rig_clock();
}

constexpr std::int64_t kDrainNs = 20'000;

}  // namespace

Life::Life() : engine_(need(wasm::Engine::create())), periodic_(1) {
    rig_.controller_runs = false;
    {
        const wasm::EpochTimer timer(engine_);
        controllers_[0] = std::make_unique<core::LoadedController>(
            controller(engine_, rig_.config, rig_.run_directory.path(), "0.3"), 1);
        controllers_[1] = std::make_unique<core::LoadedController>(
            controller(engine_, rig_.config, rig_.run_directory.path(), "0.6"), 2);
    }
    // holdfast-plant takes the place of the rig's own drives.
    rig_.tier1.reset();
    rig_.hub.reset();
    plant_ = need(plant::Plant::open(rig_.config, rig_.run_directory.path(), 1, nullptr));
    rig_.tier1 = std::make_unique<core::Tier1>(
        rig_.config, need(core::DriveBus::open(rig_.config, rig_.run_directory.path())), rig_.segment,
        rig_.exchange, *engine_, 7, core::RealtimeGrade{}, rig_time);
    runner_ = std::make_unique<core::ControllerRunner>(rig_.config, rig_.exchange,
                                                       rig_.segment.segment().controller, rig_time);
    engine_->prepare_thread();
}

Life::~Life() = default;

Wake Life::prepare() {
    act_of(lived_.cycles % kCyclesOfALife);
    core::rig_clock() += kMs * static_cast<std::int64_t>(1 + skip_);
    if (rig_.safety_beats) rig_.beat();
    if (plant_talks_) plant_->step(1 + skip_);
    const Wake wake{core::rig_clock(), core::rig_clock(), skip_};
    skip_ = 0;
    return wake;
}

// What happens to the robot at this cycle of its life.
void Life::act_of(std::uint64_t moment) {
    switch (moment) {
        case 10:
            return load(0);
        case 500:
        case 8'000:
            return rig_.exchange.request(core::Request::kArm);
        case 3'000:
            return load(1);
        case 4'000:  // a few late frames, then a dead bus
            plant_talks_ = false;
            return;
        case 4'100:
            plant_talks_ = true;
            return;
        case 5'000:
            skip_ = 3;
            return;
        case 6'000:
            return rig_.latch(++stop_number_);
        case 6'500:
            return rig_.latch(0);
        case 7'000:
            return rig_.exchange.request(core::Request::kClearErrors);
        case 8'800:
            rig_.safety_beats = false;
            return;
        case 8'900:
            rig_.safety_beats = true;
            return;
        case 9'500:
            return rig_.exchange.request(core::Request::kDisarm);
        default:
            return;
    }
}

void Life::load(std::size_t which) {
    rig_.exchange.controller.store(controllers_[which].get(), std::memory_order_release);
    ++lived_.controllers_loaded;
}

// What the two real-time threads of holdfast-control do in this millisecond.
void Life::work(const Wake& wake) {
    (void)periodic_.wait();
    rig_.tier1->cycle(wake);
    if (lived_.cycles % 10 == 0) runner_->tick(wake.woke_ns);
}

// The service thread's part, and the drives'.
void Life::look_back() {
    ++lived_.cycles;
    while (const auto event = rig_.exchange.tier1_events.pop()) {
        if (event->kind == core::EventKind::kArmed) ++lived_.arms;
        if (event->kind == core::EventKind::kEstopSeen) ++lived_.estops_seen;
        if (event->kind == core::EventKind::kStopBegun) ++lived_.stops;
    }
    while (rig_.exchange.controller_events.pop()) {
    }
    while (rig_.exchange.metrics.pop()) {
    }
    if (shm::is_armed(rig_.mode())) ++lived_.armed_cycles;
    plant_->receive_until(monotonic_ns() + kDrainNs);
}

Lived Life::lived() {
    lived_.controller_ticks = rig_.counter(shm::Counter::kControllerTicks);
    lived_.overruns = rig_.counter(shm::Counter::kOverruns);
    lived_.stale_states = rig_.counter(shm::Counter::kStateStale);
    return lived_;
}

std::set<std::string> Life::links() const {
    std::set<std::string> kinds;
    for (const Drive& drive : rig_.config.drives) kinds.insert(drive.link.substr(0, drive.link.find(':')));
    return kinds;
}

}  // namespace holdfast::tripwire
