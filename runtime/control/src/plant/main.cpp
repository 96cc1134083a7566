#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include "ipc/seqpacket.hpp"
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

bool asks_for_frames(const nlohmann::json& body) {
    const auto is_time = [&](const char* key) { return body.contains(key) && body[key].is_number_integer(); };
    return body.size() == 3 && body.contains("op") && body["op"] == "frames" && is_time("since_ns") &&
           is_time("until_ns");
}

holdfast::ipc::Message answer(const Plant& plant, const EnableWatch* enable,
                              const holdfast::ipc::Message& request) {
    const nlohmann::json& body = request.body;
    nlohmann::json reply;
    if (body == nlohmann::json{{"op", "status"}}) {
        reply = plant.status();
        reply["enable"] = enable == nullptr ? nlohmann::json(nullptr) : enable->status();
    } else if (asks_for_frames(body)) {
        reply = plant.frames(body["since_ns"].get<std::int64_t>(), body["until_ns"].get<std::int64_t>());
    } else {
        return {{{"ok", false},
                 {"error",
                  "unknown request; known are {\"op\": \"status\"} and {\"op\": \"frames\", \"since_ns\": "
                  "integer, \"until_ns\": integer}"}},
                {}};
    }
    reply["ok"] = true;
    return {std::move(reply), {}};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Simulated drives and joints on the links of robot.toml.", "holdfast-plant");
    std::filesystem::path config_file = "/etc/holdfast/robot.toml";
    std::optional<std::filesystem::path> record_file;
    std::optional<std::filesystem::path> enable_line;
    std::optional<std::uint64_t> seed;
    app.add_option("--config", config_file, "robot.toml")->envname("HOLDFAST_CONFIG")->capture_default_str();
    app.add_option("--record", record_file, "write each received frame to this file, one JSON line each");
    app.add_option("--enable-line", enable_line, "watch the enable line by this file, which holds 0 or 1")
        ->envname("HOLDFAST_PLANT_ENABLE_LINE");
    app.add_option("--seed", seed, "noisy encoders, the same noise for the same seed (default: no noise)");
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
    auto server = holdfast::ipc::Server::listen(
        holdfast::run_directory() / "plant-control.sock",
        [&](const holdfast::ipc::Peer&, const holdfast::ipc::Message& request) {
            return answer(**plant, enable.get(), request);
        },
        [](const holdfast::ipc::Peer&) {});
    if (!server) return refuse(1, server.error().message);

    const std::jthread simulation(
        [&](const std::stop_token& stopping) { simulate(**plant, config->tier1_period_ns(), stopping); });
    const std::jthread service([&](const std::stop_token& stopping) {
        while (!stopping.stop_requested()) (*server)->serve(kServiceWaitMs);
    });
    sd_notify(0, "READY=1\nSTATUS=simulating");
    sigwaitinfo(&ending, nullptr);
    sd_notify(0, "STOPPING=1");
    return 0;
}
