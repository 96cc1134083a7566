#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ipc/seqpacket.hpp"
#include "plant/control.hpp"
#include "plant/enable_watch.hpp"
#include "plant/plant.hpp"
#include "rt/clock.hpp"
#include "rt/periodic.hpp"
#include "rt/realtime.hpp"

namespace {

using holdfast::plant::EnableWatch;
using holdfast::plant::kPeriodNs;
using holdfast::plant::Plant;

constexpr int kBadConfiguration = 2;
constexpr int kServiceWaitMs = 100;
// Below the core: on one processor its feedback is timely, and it never delays Tier-1.
constexpr int kPriority = 60;

int refuse(int code, const std::string& why) {
    std::fprintf(stderr, "<3>holdfast-plant: %s\n", why.c_str());
    return code;
}

// Before any thread starts: the signals that end the plant are waited for, never handled.
sigset_t block_ending_signals() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    return ending;
}

// Reports as often as the core looks: on an emulated processor each wake-up is dear.
void simulate(Plant& plant, std::int64_t tier1_period_ns, const std::stop_token& stopping) {
    // Without the permission it is an ordinary thread, which is enough on a machine with time to spare.
    static_cast<void>(holdfast::make_thread_realtime(kPriority, -1));
    std::int64_t simulated_ns = holdfast::monotonic_ns();
    holdfast::Schedule schedule(std::max(tier1_period_ns, kPeriodNs), simulated_ns);
    while (!stopping.stop_requested()) {
        const auto due = schedule.next(holdfast::monotonic_ns());
        plant.receive_until(due.at_ns);
        const std::int64_t periods = (due.at_ns - simulated_ns) / kPeriodNs;
        plant.step(static_cast<std::uint64_t>(periods));
        simulated_ns += periods * kPeriodNs;
    }
}

// Faults of the command line are there from the first period on, or come at their "at_ms".
holdfast::Expected<void> add_faults(Plant& plant, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
        const auto json = nlohmann::json::parse(text, nullptr, false);
        const auto fault = holdfast::plant::parse_fault(json);
        if (!fault) return holdfast::fail("--fault " + text + ": " + fault.error().message);
        const auto added = plant.add_fault(*fault);
        if (!added) return holdfast::fail("--fault " + text + ": " + added.error().message);
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Simulated drives and joints on the links of robot.toml.", "holdfast-plant");
    std::filesystem::path config_file = "/etc/holdfast/robot.toml";
    std::optional<std::filesystem::path> record_file;
    std::optional<std::filesystem::path> enable_line;
    std::optional<std::uint64_t> seed;
    std::vector<std::string> faults;
    app.add_option("--config", config_file, "robot.toml")->envname("HOLDFAST_CONFIG")->capture_default_str();
    app.add_option("--record", record_file, "write each received frame to this file, one JSON line each");
    app.add_option("--enable-line", enable_line, "watch the enable line by this file, which holds 0 or 1")
        ->envname("HOLDFAST_PLANT_ENABLE_LINE");
    app.add_option("--seed", seed,
                   "noisy encoders and sensors, the same noise and the same chance in faults for the same "
                   "seed (default: no noise)");
    app.add_option(
        "--fault", faults,
        R"(a fault from the start or at "at_ms", as in {"device": "elbow", "kind": "silent", "at_ms": 500})");
    CLI11_PARSE(app, argc, argv);

    const auto config = holdfast::load_robot_config(config_file);
    if (!config) return refuse(kBadConfiguration, config.error().message);
    const sigset_t ending = block_ending_signals();

    std::unique_ptr<holdfast::plant::Recording> recording;
    if (record_file) {
        auto created = holdfast::plant::Recording::create(*record_file);
        if (!created) return refuse(1, created.error().message);
        recording = std::move(*created);
    }
    std::unique_ptr<EnableWatch> enable;
    if (enable_line) {
        auto opened = EnableWatch::open(*enable_line);
        if (!opened) return refuse(1, opened.error().message);
        enable = std::move(*opened);
    }
    auto plant = Plant::open(*config, holdfast::run_directory(), seed, std::move(recording));
    if (!plant) return refuse(1, plant.error().message);
    if (const auto added = add_faults(**plant, faults); !added)
        return refuse(kBadConfiguration, added.error().message);
    auto server = holdfast::ipc::Server::listen(
        holdfast::run_directory() / "plant-control.sock",
        [&](const holdfast::ipc::Peer&, const holdfast::ipc::Message& request) {
            return holdfast::ipc::Message{holdfast::plant::answer(**plant, enable.get(), request.body), {}};
        },
        [](const holdfast::ipc::Peer&) {});
    if (!server) return refuse(1, server.error().message);

    const std::jthread simulation(
        [&](const std::stop_token& stopping) { simulate(**plant, config->tier1_period_ns(), stopping); });
    const std::jthread service([&](const std::stop_token& stopping) {
        while (!stopping.stop_requested()) (*server)->serve(kServiceWaitMs);
    });
    sd_notify(0, "READY=1\nSTATUS=simulating");
    // Not sigwaitinfo(), which also returns when somebody has stopped and continued this process.
    int received = 0;
    sigwait(&ending, &received);
    sd_notify(0, "STOPPING=1");
    return 0;
}
