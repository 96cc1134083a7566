#include "core/core.hpp"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/controller_runner.hpp"
#include "core/log.hpp"
#include "core/poll.hpp"
#include "core/safety_attachment.hpp"
#include "core/service.hpp"
#include "core/tier1.hpp"
#include "rt/clock.hpp"
#include "rt/kernel.hpp"
#include "rt/periodic.hpp"
#include "rt/realtime.hpp"
#include "rt/slots.hpp"

namespace holdfast::core {
namespace {

constexpr int kServiceWaitMs = 20;
constexpr auto kStandstillLimit = std::chrono::seconds(10);

volatile sig_atomic_t g_stop_signal = 0;

void on_signal(int) { g_stop_signal = 1; }

sigset_t stop_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

// Only the service thread is interrupted by the stop signals: they are blocked while the others are started.
void install_stop_signals() {
    struct sigaction action{};
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
}

std::uint64_t random_boot_id() {
    std::uint64_t id = 0;
    return getrandom(&id, sizeof id, 0) == sizeof id ? id : static_cast<std::uint64_t>(monotonic_ns());
}

// A thread that becomes real-time, says what it lacks, waits for the start and then works every period.
class PeriodicThread {
  public:
    // `prepare` runs in the thread before it is real-time.
    PeriodicThread(std::int64_t period_ns, std::int64_t slot_ns, int priority, int cpu,
                   std::function<void()> prepare)
        : period_ns_(period_ns),
          slot_ns_(slot_ns),
          prepare_(std::move(prepare)),
          thread_([this, priority, cpu] { live(priority, cpu); }) {}
    PeriodicThread(const PeriodicThread&) = delete;
    PeriodicThread& operator=(const PeriodicThread&) = delete;
    ~PeriodicThread() { join(); }

    [[nodiscard]] const std::vector<std::string>& shortfalls() {
        ready_.wait();
        return shortfalls_;
    }
    void start(std::function<void(const Wake&)> work) {
        work_ = std::move(work);
        go_.count_down();
    }
    // Lets the period under way end.
    void join() {
        if (!thread_.joinable()) return;
        stop_.store(true);
        if (!work_) start([](const Wake&) {});
        thread_.join();
    }

  private:
    void live(int priority, int cpu) {
        prepare_();
        shortfalls_ = make_thread_realtime(priority, cpu);
        ready_.count_down();
        go_.wait();
        Periodic periodic(period_ns_, slot_ns_);
        while (!stop_.load(std::memory_order_relaxed)) work_(periodic.wait());
    }

    std::int64_t period_ns_;
    std::int64_t slot_ns_;
    std::function<void()> prepare_;
    std::function<void(const Wake&)> work_;
    std::vector<std::string> shortfalls_;
    std::latch ready_{1};
    std::latch go_{1};
    std::atomic<bool> stop_{false};
    std::thread thread_;  // last: it uses the others
};

void append(std::vector<std::string>& all, const std::vector<std::string>& more) {
    for (const std::string& text : more) {
        if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
    }
}

RealtimeGrade grade_of(const RobotConfig& config, const std::vector<std::string>& shortfalls) {
    const bool missing = !shortfalls.empty();
    const bool required = config.control.realtime == RealtimeMode::kRequire;
    return {.degraded = missing && !required, .refused = missing && required};
}

// Tells systemd that the loop runs, and only while it does.
class Notifier {
  public:
    void update(const shm::StateData& state, bool is_ready) {
        if (state.cycle == last_cycle_) return;
        last_cycle_ = state.cycle;
        if (is_ready && !ready_) {
            ready_ = true;
            sd_notify(0, "READY=1\nSTATUS=loop runs");
            log_info("loop runs");
        }
        // Each message wakes the service manager: no more of them than its watchdog asks for.
        const std::int64_t now = monotonic_ns();
        if (now - last_fed_ns_ < kFeedIntervalNs) return;
        last_fed_ns_ = now;
        sd_notify(0, "WATCHDOG=1");
    }

  private:
    static constexpr std::int64_t kFeedIntervalNs = 200'000'000;

    std::uint64_t last_cycle_{0};
    std::int64_t last_fed_ns_{0};
    bool ready_{false};
};

void wait_for_cycles(const Exchange& exchange, std::uint64_t count) {
    const std::uint64_t begin = exchange.cycles.load(std::memory_order_acquire);
    poll_until([&] { return exchange.cycles.load(std::memory_order_acquire) >= begin + count; });
}

void stop_motion(Exchange& exchange, const Service& service) {
    exchange.request(Request::kDisarm);
    wait_for_cycles(exchange, 2);
    const bool still = poll_until(
        [&] {
            const shm::StateData state = service.state();
            return !shm::is_armed(state.mode) && state.mode != shm::Mode::kStopping && state.moving == 0;
        },
        kStandstillLimit);
    if (!still) log_warning("stop: the robot still moves; idling its drives anyway");
    exchange.request(Request::kIdleDrives);
    wait_for_cycles(exchange, 2 * kMaxDrives);  // one drive a cycle, each twice
}

}  // namespace

Expected<void> run(const RobotConfig& config) {
    const sigset_t signals = stop_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    install_stop_signals();

    std::vector<std::string> shortfalls = kernel_shortfalls();
    append(shortfalls, lock_memory());
    const IdleLatencyHold idle_latency;
    append(shortfalls, idle_latency.shortfalls());
    auto engine = wasm::Engine::create();
    if (!engine) return tl::unexpected(engine.error());
    auto segment = shm::Writer<shm::StateSegment>::create();
    if (!segment) return tl::unexpected(segment.error());
    auto bus = DriveBus::open(config, run_directory());
    if (!bus) return tl::unexpected(bus.error());

    const auto exchange = std::make_unique<Exchange>();
    std::optional<Tier1> tier1;
    std::optional<ControllerRunner> runner;
    const ControlConfig& control = config.control;
    const std::int64_t period_ns = config.tier1_period_ns();
    PeriodicThread tier1_thread(period_ns, tier1_slot_ns(period_ns), control.tier1_priority, control.cpu,
                                [] {});
    PeriodicThread controller_thread(config.controller_period_ns(), controller_slot_ns(period_ns),
                                     control.controller_priority, control.cpu,
                                     [&] { (*engine)->prepare_thread(); });
    append(shortfalls, tier1_thread.shortfalls());
    append(shortfalls, controller_thread.shortfalls());
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    for (const std::string& shortfall : shortfalls) log_warning("realtime: " + shortfall);
    for (const std::string& note : kernel_notes()) log_info("realtime: " + note);

    auto service = Service::create(config, *exchange, *engine, segment->fd(), shortfalls,
                                   ResumeMarker(state_directory() / "control" / "armed"));
    if (!service) return tl::unexpected(service.error());
    auto server = ipc::Server::listen(
        run_directory() / "control.sock",
        [&](const ipc::Peer& peer, const ipc::Message& request) { return (*service)->handle(peer, request); },
        {});
    if (!server) return tl::unexpected(server.error());

    tier1.emplace(config, std::move(*bus), *segment, *exchange, **engine, random_boot_id(),
                  grade_of(config, shortfalls));
    runner.emplace(config, *exchange, segment->segment().controller);
    tier1_thread.start([&](const Wake& wake) { tier1->cycle(wake); });
    controller_thread.start([&](const Wake& wake) { runner->tick(wake.woke_ns); });

    SafetyAttachment safety(run_directory() / "safety.sock", segment->fd(), *exchange);
    Notifier notifier;
    while (g_stop_signal == 0) {
        (*server)->serve(kServiceWaitMs);
        safety.maintain();
        (*service)->keep_house();
        notifier.update((*service)->state(), exchange->taken.load() == exchange->controller.load());
    }

    log_info("stop: standstill, then idle drives");
    sd_notify(0, "STOPPING=1\nSTATUS=stopping the robot");
    stop_motion(*exchange, **service);
    safety.detach();
    controller_thread.join();  // before what it uses is destroyed
    tier1_thread.join();
    (*service)->keep_house();
    return {};
}

}  // namespace holdfast::core
