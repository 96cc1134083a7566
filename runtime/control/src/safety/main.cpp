#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "robot/config.hpp"
#include "safety/daemon.hpp"

namespace {

constexpr int kBadConfiguration = 2;

// Before any thread starts: the signals that end the daemon are waited for, never handled.
void block_ending_signals() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Holdfast's safety daemon: heartbeats, the latched stop and the drives' stop frames.",
                 "holdfast-safety");
    std::filesystem::path config_file = "/etc/holdfast/robot.toml";
    app.add_option("--config", config_file, "robot.toml")->envname("HOLDFAST_CONFIG")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    const auto config = holdfast::load_robot_config(config_file);
    if (!config) {
        std::fprintf(stderr, "<3>%s\n", config.error().message.c_str());
        return kBadConfiguration;
    }
    block_ending_signals();
    if (const auto ended = holdfast::safety::run_daemon(*config); !ended) {
        std::fprintf(stderr, "<3>holdfast-safety: %s\n", ended.error().message.c_str());
        return 1;
    }
    return 0;
}
