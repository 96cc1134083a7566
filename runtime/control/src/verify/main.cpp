#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "verify/candidate.hpp"

int main(int argc, char** argv) {
    using holdfast::verify::ExitCode;
    // A file-size limit is then an error of write(), with its sentence.
    std::signal(SIGXFSZ, SIG_IGN);
    holdfast::verify::Request request;
    CLI::App app{
        "Compiles a controller (WAT or WASM) and runs it in the production host, for each of several states, "
        "before a\n"
        "robot may run it. Prints one JSON object. Exit codes: 0 accepted, 1 rejected, 2 usage, "
        "configuration or files.\n"
        "Example: holdfast-verify --config robot.toml --source sine.wat --out sine.cwasm"};
    app.add_option("--config", request.config, "robot.toml")->required();
    app.add_option("--source", request.source, "WAT or WASM, 1 MiB at most")->required();
    app.add_option("--out", request.out, "where the compiled controller goes if it is accepted")->required();
    app.add_option("--trace", request.trace, R"(recorded states, JSON: {"states": [[...], ...]})");
    app.add_option("--ticks", request.ticks, "ticks for each state")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    app.add_option("--seed", request.seed, "seed of the random states")->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUnusable);
    }
    const auto report = holdfast::verify::examine(request);
    std::cout << report.body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n'
              << std::flush;
    if (!std::cout) return static_cast<int>(ExitCode::kUnusable);
    return static_cast<int>(report.code);
}
