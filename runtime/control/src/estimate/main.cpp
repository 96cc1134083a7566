// holdfast-estimate: a recording through the state estimator, to choose the values of [estimator].
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "estimate/replay.hpp"

namespace {

constexpr int kBadUsage = 2;
constexpr const char* kExample =
    "Example:\n"
    "  holdfast-estimate --config robot.toml joint elbow < recorded.csv > estimated.csv\n"
    "      columns: t_s,position,velocity (an empty cell was not measured), below a header\n"
    "  holdfast-estimate --config robot.toml attitude < imu.csv\n"
    "      columns: t_s,rate_x,rate_y,rate_z,accel_x,accel_y,accel_z\n"
    "  holdfast-estimate --config robot.toml models\n";

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Runs a recording through the state estimator of a robot.", "holdfast-estimate");
    app.footer(kExample);
    std::filesystem::path config_file = "/etc/holdfast/robot.toml";
    std::string command;
    app.add_option("--config", config_file, "robot.toml")->envname("HOLDFAST_CONFIG")->capture_default_str();
    const auto* joint = app.add_subcommand("joint", "Estimate one joint")
                            ->add_option("command", command, "Its command channel")
                            ->required();
    const auto* attitude = app.add_subcommand("attitude", "Estimate the attitude");
    const auto* models = app.add_subcommand("models", "Print the parameters in use as JSON");
    app.require_subcommand(1);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? EXIT_SUCCESS : kBadUsage;
    }
    const auto config = holdfast::load_robot_config(config_file);
    if (!config) {
        std::cerr << config.error().message << '\n';
        return kBadUsage;
    }
    holdfast::Expected<void> done;
    if (joint->count() > 0) done = holdfast::estimate::replay_joint(*config, command, std::cin, std::cout);
    if (attitude->parsed()) done = holdfast::estimate::replay_attitude(*config, std::cin, std::cout);
    if (models->parsed()) holdfast::estimate::print_models(*config, std::cout);
    if (done) return EXIT_SUCCESS;
    std::cerr << "holdfast-estimate: " << done.error().message << '\n';
    return EXIT_FAILURE;
}
