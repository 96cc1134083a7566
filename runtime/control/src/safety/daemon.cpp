#include "safety/daemon.hpp"

#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <thread>

#include "ipc/user.hpp"
#include "rt/realtime.hpp"
#include "safety/ending.hpp"
#include "safety/evidence_writer.hpp"
#include "safety/health.hpp"
#include "safety/loop.hpp"
#include "safety/loop_thread.hpp"
#include "safety/named_devices.hpp"
#include "safety/recorder.hpp"
#include "safety/service.hpp"
#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

constexpr int kServiceWaitMs = 100;
constexpr std::chrono::milliseconds kMainPeriod{200};
// With what the start takes besides, well below TimeoutStartSec (30 s).
constexpr std::chrono::seconds kDevicePatience{10};

void log(int priority, const std::string& sentence) {
    std::fprintf(stderr, "<%d>holdfast-safety: %s\n", priority, sentence.c_str());
}

std::int32_t scaled(double value, double by) { return static_cast<std::int32_t>(std::lround(value * by)); }

// The core's own ladder comes first (controlled stop); this one is for the core that does not stop.
constexpr std::uint32_t kOverrunFactor = 4;

KernelConfig kernel_config(const RobotConfig& config, bool realtime, bool watchdog_missing) {
    const SafetyConfig& safety = config.safety;
    const double cool_c = safety.max_temperature_c - safety.temperature_hysteresis_c;
    return {.period_ns = config.tier1_period_ns(),
            .core_timeout_ns = safety.core_timeout_ns,
            .worker_timeout_ns = safety.worker_timeout_ns,
            .worker_required = safety.worker_required,
            .realtime_missing = !realtime && config.control.realtime == RealtimeMode::kRequire,
            .watchdog_missing = watchdog_missing,
            .estop_lines = !safety.estop_lines.empty(),
            .estop_discrepancy_ns = safety.estop_discrepancy_ns,
            .enable_line = safety.enable_line.has_value(),
            .enable_drop_delay_ns = safety.enable_drop_delay_ns,
            .drive_faults = safety.drive_faults,
            .core_overruns = safety.core_overruns,
            .overrun_limit = config.control.overrun_limit * kOverrunFactor,
            .overrun_window_ns = config.control.overrun_window * config.tier1_period_ns(),
            .temperature = {.reaction = safety.temperature,
                            .limit = scaled(safety.max_temperature_c, 1000.0),
                            .clear = scaled(cool_c, 1000.0),
                            .required = safety.temperature_required},
            .memory_pressure = {.reaction = safety.memory_pressure,
                                .limit = scaled(safety.max_memory_pressure_percent, 100.0),
                                .clear = scaled(safety.max_memory_pressure_percent, 50.0),
                                .required = false},
            .health_max_age_ns = kHealthMaxAgeNs};
}

State initial_state(const LatchRecord& record) {
    State state{};
    state.latch_sequence = record.latch_sequence;
    state.last_sequence = record.last_sequence;
    state.cause = record.cause;
    // A broken contact is not mended by a restart: both must be seen to open.
    state.estop.fault = record.cause == StopCause::kEstopDiscrepancy;
    return state;
}

std::string status_line(const Mailbox& mailbox) {
    const LatchWord latch = mailbox.latch.load();
    std::string warnings;
    for (const std::string& name : names_of_causes(mailbox.warnings.load()))
        warnings += (warnings.empty() ? "; warning: " : ", ") + name;
    if (latch.sequence() == 0)
        return (mailbox.arm_permitted.load() ? "ready to arm" : "no stop stands; arming not permitted") +
               warnings;
    return "STOPPED, no. " + std::to_string(latch.sequence()) + ": " +
           std::string(shm::name_of(latch.cause())) + warnings;
}

// False: told to end meanwhile. What is still missing after that is unreadable, or forbids arming.
bool wait_for(NamedDevices& devices) {
    if (devices.take_missing()) return true;
    std::string missing;
    for (const std::string& problem : devices.problems()) missing += (missing.empty() ? "" : "; ") + problem;
    log(4, "waits at most " + std::to_string(kDevicePatience.count()) +
               " s for what robot.toml names and is not there yet: " + missing);
    return wait_for_devices([&] { return devices.take_missing(); }, kDevicePatience) != Arrival::kEnded;
}

void tell_of(NamedDevices& devices, const SafetyConfig& safety) {
    if (const auto& watchdog = devices.watchdog(); watchdog) {
        log(6, safety.watchdog + ": resets the machine after " + std::to_string(watchdog->timeout_s()) +
                   " s without progress of this daemon");
    }
}

// Feeds both watchdogs only while the loop makes progress, and waits for the signal to end.
void watch_over(const Mailbox& mailbox, std::optional<HardwareWatchdog>& watchdog) {
    std::uint64_t last_period = 0;
    std::string last_line;
    for (;;) {
        const std::uint64_t period = mailbox.periods.load(std::memory_order_acquire);
        if (period != last_period) {
            sd_notify(0, "WATCHDOG=1");
            if (watchdog && !watchdog->feed())
                log(2, "the hardware watchdog takes no more: it will reset this machine");
        }
        last_period = period;
        if (const std::string line = status_line(mailbox); line != last_line) {
            sd_notify(0, ("STATUS=" + line).c_str());
            log(mailbox.latch.load().sequence() == 0 ? 6 : 4, line);
            last_line = line;
        }
        if (told_to_end(kMainPeriod)) return;
    }
}

}  // namespace

Expected<void> run_daemon(const RobotConfig& config) {
    // Hazard: a predecessor that died may have left the enable line high. So it is taken, and thereby low,
    // before anything that can fail or take its time.
    NamedDevices devices(config.safety);
    if (config.safety.enable_line && !devices.lines().has_enable_line())
        log(3, "the enable line is not to be had yet, so its level is not known");
    const auto record_file = state_directory() / "safety" / "estop.json";
    const LoadedRecord loaded = load_record(record_file);
    if (loaded.damage) log(2, *loaded.damage + "; a stop is assumed");

    auto segment = shm::Writer<shm::SafetySegment>::create();
    if (!segment) return tl::unexpected(segment.error());
    auto frames = StopFrames::open(config, run_directory());
    if (!frames) return tl::unexpected(frames.error());
    const FileDescriptor latch_event(::eventfd(0, EFD_CLOEXEC));
    if (!latch_event) return fail("no eventfd is to be had; raise LimitNOFILE");
    auto& watchdog = devices.watchdog();
    if (!wait_for(devices)) {
        if (watchdog) watchdog->switch_off();
        return {};
    }
    tell_of(devices, config.safety);
    std::vector<std::string> problems = devices.problems();
    auto evidence = EvidenceRing::open(run_directory() / "evidence.ring");
    if (!evidence) problems.push_back("evidence: " + evidence.error().message);
    for (const std::string& problem : problems) log(3, problem);
    std::vector<std::string> shortfalls = lock_memory();
    const bool memory_locked = shortfalls.empty();

    Mailbox mailbox;
    mailbox.record_unreadable = loaded.damage.has_value();
    Recorder recorder(record_file, loaded.record, mailbox, latch_event.get());
    const HealthSampler health(mailbox);
    const auto make_loop = [&](bool thread_is_realtime) {
        return Loop(kernel_config(config, memory_locked && thread_is_realtime, devices.watchdog_missing()),
                    initial_state(loaded.record), *segment, *frames, mailbox, latch_event.get(),
                    {.lines = devices.lines(),
                     .enable_pulses = config.safety.enable_pulses,
                     .evidence = evidence ? &*evidence : nullptr});
    };
    const LoopThread loop(config.tier1_period_ns(), config.safety.priority, devices.lines(), make_loop);
    shortfalls.insert(shortfalls.end(), loop.shortfalls().begin(), loop.shortfalls().end());
    for (const std::string& shortfall : shortfalls) log(4, shortfall);

    // Nobody may hear of "no stop" before the loop has looked once at what the file held.
    while (mailbox.periods.load(std::memory_order_acquire) == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));

    std::optional<EvidenceWriter> evidence_writer;
    if (evidence)
        evidence_writer.emplace(config, *evidence, mailbox, state_directory() / "safety" / "evidence",
                                loaded.record.last_sequence,
                                EvidenceWriter::Limits{.max_files = config.safety.evidence_files});
    Service service(mailbox, recorder, segment->fd(), shortfalls,
                    {.problems = problems,
                     .estop_lines = !config.safety.estop_lines.empty(),
                     .enable_line = config.safety.enable_line.has_value(),
                     .watchdog_timeout_s = watchdog ? watchdog->timeout_s() : 0,
                     .core_user = user_named("holdfast-control"),
                     .evidence = evidence_writer ? &*evidence_writer : nullptr});
    auto server = ipc::Server::listen(
        run_directory() / "safety.sock",
        [&](const ipc::Peer& peer, ipc::Message request) { return service.handle(peer, std::move(request)); },
        [&](const ipc::Peer& peer) { service.closed(peer); });
    if (!server) return tl::unexpected(server.error());
    const std::jthread service_thread([&](const std::stop_token& stopping) {
        while (!stopping.stop_requested()) (*server)->serve(kServiceWaitMs);
    });
    sd_notify(0, "READY=1");
    watch_over(mailbox, watchdog);
    sd_notify(0, "STOPPING=1");
    // While the robot moves the machine must come back, or be reset.
    if (watchdog && !mailbox.core_armed.load(std::memory_order_acquire)) watchdog->switch_off();
    return {};
}

}  // namespace holdfast::safety
