// holdfast-control: the real-time core of a robot.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "core/core.hpp"
#include "core/execution_state.hpp"
#include "core/log.hpp"
#include "robot/bus_load.hpp"
#include "robot/config.hpp"
#include "shm/segment.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr const char* kExample =
    "Example:\n"
    "  holdfast-control --check robot.toml            say what is wrong with a configuration\n"
    "  holdfast-control --config /etc/holdfast/robot.toml\n"
    "\n"
    "Environment: HOLDFAST_CONFIG, HOLDFAST_RUN_DIR (/run/holdfast), HOLDFAST_STATE_DIR "
    "(/var/lib/holdfast);\n"
    "HOLDFAST_<SECTION>__<KEY> overrides one value, as in HOLDFAST_CONTROL__REALTIME=prefer.\n"
    "Exit codes: 0 ended in good order, 1 failed, 2 wrong usage or configuration.";

std::string default_config() {
    const char* file = std::getenv("HOLDFAST_CONFIG");
    return file != nullptr && *file != '\0' ? file : "/etc/holdfast/robot.toml";
}

int check(const std::string& file) {
    const auto config = holdfast::load_robot_config(file);
    if (!config) {
        std::cerr << config.error().message << "\n";
        return kBadUsage;
    }
    std::cout << file << ": ok: robot " << config->id << ", " << config->commands.size() << " command and "
              << config->states.size() << " state channels, " << config->drives.size() << " drives, "
              << config->sensors.size() << " sensors\n";
    for (const holdfast::LinkLoad& load : holdfast::bus_loads(*config)) {
        std::cout << text_of(load) << "\n";
        if (load.share() > holdfast::kBusLoadWarning)
            std::cout << "warning: " << load.url << " has little reserve for repeated frames\n";
    }
    return EXIT_SUCCESS;
}

int run(const std::string& file) {
    const auto config = holdfast::load_robot_config(file);
    if (!config) {
        holdfast::core::log_error(config.error().message);
        return kBadUsage;
    }
    const auto ended = holdfast::core::run(*config);
    if (ended) return EXIT_SUCCESS;
    holdfast::core::log_error(ended.error().message);
    return kFailed;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Runs the real-time loop of the robot that a configuration describes.", "holdfast-control");
    app.footer(kExample);
    app.set_version_flag("--version", HOLDFAST_VERSION);
    std::string config_file = default_config();
    std::string checked_file;
    bool print_layout = false;
    bool print_states = false;
    auto* const config =
        app.add_option("--config", config_file, "The robot's configuration")->capture_default_str();
    auto* const checking = app.add_option("--check", checked_file, "Validate this configuration and end");
    auto* const layout =
        app.add_flag("--print-layout", print_layout, "Print the shared-memory layout as JSON and end");
    auto* const states = app.add_flag("--print-states", print_states,
                                      "Print the execution states for docs/architecture.md and end");
    checking->excludes(config)->excludes(layout)->excludes(states);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? EXIT_SUCCESS : kBadUsage;
    }
    if (print_layout) {
        std::cout << holdfast::shm::describe_layout().dump(1) << "\n";
        return EXIT_SUCCESS;
    }
    if (print_states) {
        std::cout << holdfast::core::describe_states();
        return EXIT_SUCCESS;
    }
    return checked_file.empty() ? run(config_file) : check(checked_file);
}
