#include "safety/daemon.hpp"

#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <future>
#include <thread>

#include "rt/clock.hpp"
#include "rt/periodic.hpp"
#include "rt/realtime.hpp"
#include "safety/loop.hpp"
#include "safety/recorder.hpp"
#include "safety/service.hpp"
#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

constexpr int kServiceWaitMs = 100;
constexpr std::int64_t kMainPeriodNs = 200'000'000;

void log(int priority, const std::string& sentence) {
    std::fprintf(stderr, "<%d>holdfast-safety: %s\n", priority, sentence.c_str());
}

KernelConfig kernel_config(const RobotConfig& config, bool realtime) {
    return {.period_ns = config.tier1_period_ns(),
            .core_timeout_ns = config.safety.core_timeout_ns,
            .worker_timeout_ns = config.safety.worker_timeout_ns,
            .worker_required = config.safety.worker_required,
            .realtime_missing = !realtime && config.control.realtime == RealtimeMode::kRequire};
}

State initial_state(const LatchRecord& record) {
    State state{};
    state.latch_sequence = record.latch_sequence;
    state.last_sequence = record.last_sequence;
    state.cause = record.cause;
    return state;
}

// The thread that must not stop. It is real-time, as far as it is allowed to, before its first period.
class LoopThread {
  public:
    template <typename MakeLoop>
    LoopThread(std::int64_t period_ns, int priority, MakeLoop make_loop) {
        std::promise<std::vector<std::string>> shortfalls;
        auto known = shortfalls.get_future();
        thread_ = std::jthread([period_ns, priority, make_loop,
                                shortfalls = std::move(shortfalls)](const std::stop_token& stopping) mutable {
            auto missing = make_thread_realtime(priority, -1);
            Loop loop = make_loop(missing.empty());
            shortfalls.set_value(std::move(missing));
            Periodic periodic(period_ns);
            while (!stopping.stop_requested()) {
                static_cast<void>(periodic.wait());
                loop.cycle(monotonic_ns());
            }
        });
        shortfalls_ = known.get();
    }
    [[nodiscard]] const std::vector<std::string>& shortfalls() const { return shortfalls_; }

  private:
    std::vector<std::string> shortfalls_;
    std::jthread thread_;
};

std::string status_line(const Mailbox& mailbox) {
    const LatchWord latch = mailbox.latch.load();
    if (latch.sequence() == 0)
        return mailbox.arm_permitted.load() ? "ready to arm" : "no stop stands; arming not permitted";
    return "STOPPED, no. " + std::to_string(latch.sequence()) + ": " +
           std::string(shm::name_of(latch.cause()));
}

// Feeds systemd's watchdog only while the loop makes progress, and waits for the signal to end.
void watch_over(const Mailbox& mailbox) {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    const timespec patience{0, kMainPeriodNs};
    std::uint64_t last_period = 0;
    std::string last_line;
    for (;;) {
        const std::uint64_t period = mailbox.periods.load(std::memory_order_acquire);
        if (period != last_period) sd_notify(0, "WATCHDOG=1");
        last_period = period;
        if (const std::string line = status_line(mailbox); line != last_line) {
            sd_notify(0, ("STATUS=" + line).c_str());
            log(mailbox.latch.load().sequence() == 0 ? 6 : 4, line);
            last_line = line;
        }
        if (sigtimedwait(&ending, nullptr, &patience) > 0) return;
    }
}

}  // namespace

Expected<void> run_daemon(const RobotConfig& config) {
    const auto record_file = state_directory() / "safety" / "estop.json";
    const LoadedRecord loaded = load_record(record_file);
    if (loaded.damage) log(2, *loaded.damage + "; a stop is assumed");

    auto segment = shm::Writer<shm::SafetySegment>::create();
    if (!segment) return tl::unexpected(segment.error());
    auto frames = StopFrames::open(config, run_directory());
    if (!frames) return tl::unexpected(frames.error());
    const FileDescriptor latch_event(::eventfd(0, EFD_CLOEXEC));
    if (!latch_event) return fail("no eventfd is to be had; raise LimitNOFILE");
    std::vector<std::string> shortfalls = lock_memory();
    const bool memory_locked = shortfalls.empty();

    Mailbox mailbox;
    mailbox.record_unreadable = loaded.damage.has_value();
    Recorder recorder(record_file, loaded.record, mailbox, latch_event.get());
    const LoopThread loop(config.tier1_period_ns(), config.safety.priority, [&](bool thread_is_realtime) {
        return Loop(kernel_config(config, memory_locked && thread_is_realtime), initial_state(loaded.record),
                    *segment, *frames, mailbox, latch_event.get());
    });
    shortfalls.insert(shortfalls.end(), loop.shortfalls().begin(), loop.shortfalls().end());
    for (const std::string& shortfall : shortfalls) log(4, shortfall);

    // Nobody may hear of "no stop" before the loop has looked once at what the file held.
    while (mailbox.periods.load(std::memory_order_acquire) == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));

    Service service(mailbox, recorder, segment->fd(), shortfalls);
    auto server = ipc::Server::listen(
        run_directory() / "safety.sock",
        [&](const ipc::Peer& peer, ipc::Message request) { return service.handle(peer, std::move(request)); },
        [&](const ipc::Peer& peer) { service.closed(peer); });
    if (!server) return tl::unexpected(server.error());
    const std::jthread service_thread([&](const std::stop_token& stopping) {
        while (!stopping.stop_requested()) (*server)->serve(kServiceWaitMs);
    });
    sd_notify(0, "READY=1");
    watch_over(mailbox);
    sd_notify(0, "STOPPING=1");
    return {};
}

}  // namespace holdfast::safety
