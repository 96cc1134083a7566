// Measures one tick of a controller that reads twelve states and writes twelve commands through the host
// functions: as WebAssembly in the production host, and the same work compiled natively with the same host
// functions, as the limit of what any sandbox could reach. Prints one JSON object; nanoseconds.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "quantiles.hpp"
#include "rt/clock.hpp"
#include "wasm/controller.hpp"
#include "wasm/epoch_timer.hpp"
#include "wasm/host.hpp"

namespace {

using namespace holdfast;
using nlohmann::json;

constexpr std::size_t kChannels = 12;
constexpr double kLimit = 1.0;

RobotConfig twelve_channels() {
    RobotConfig config;
    config.control.controller_hz = 1;  // a budget that no interruption by a busy machine exceeds
    for (std::size_t index = 0; index < kChannels; ++index) {
        CommandChannel command;
        command.name = "joint" + std::to_string(index);
        command.kind = ChannelKind::kVelocity;
        command.limits = {-kLimit, kLimit};
        config.commands.push_back(command);
        StateChannel state;
        state.name = command.name + ".velocity";
        state.limits = command.limits;
        config.states.push_back(state);
    }
    return config;
}

std::vector<double> some_state() {
    std::vector<double> state;
    state.reserve(kChannels);
    for (std::size_t index = 0; index < kChannels; ++index)
        state.push_back(std::sin(static_cast<double>(index)));
    return state;
}

// The source of twelve_channels.wat in C++. The opaque host keeps the compiler from merging the calls.
void native_process(wasm::Host& host) {
    for (std::int32_t channel = 0; channel < static_cast<std::int32_t>(kChannels); ++channel) {
        (void)host.set_command(channel, 0.5 * host.state(channel));
    }
}

template <typename Tick>
json measure(std::int64_t ticks, Tick tick) {
    const std::int64_t warm_up = ticks / 10;
    for (std::int64_t number = 0; number < warm_up; ++number) tick(number);
    std::vector<std::int64_t> samples(static_cast<std::size_t>(ticks));
    for (std::int64_t number = 0; number < ticks; ++number) {
        const std::int64_t begin_ns = monotonic_ns();
        tick(number);
        samples[static_cast<std::size_t>(number)] = monotonic_ns() - begin_ns;
    }
    return bench::quantiles(std::move(samples));
}

void check_output(const wasm::TickOutput& output, std::span<const double> state) {
    for (std::size_t index = 0; index < kChannels; ++index) {
        if (output.value[index] != 0.5 * state[index]) throw std::runtime_error("a tick did not do its work");
    }
}

Expected<std::unique_ptr<wasm::Controller>> load(const std::shared_ptr<wasm::Engine>& engine,
                                                 const RobotConfig& config,
                                                 const std::filesystem::path& wat) {
    std::ostringstream source;
    source << std::ifstream(wat).rdbuf();
    const auto compiled = wasm::compile(*engine, source.str());
    if (!compiled) return tl::unexpected(compiled.error());
    std::string file = (std::filesystem::temp_directory_path() / "holdfast-bench-XXXXXX").string();
    const int fd = ::mkstemp(file.data());
    if (fd < 0) return fail("cannot write " + file);
    ::close(fd);
    std::ofstream(file, std::ios::binary) << *compiled;
    auto controller = wasm::Controller::load(engine, config, file);
    std::filesystem::remove(file);
    return controller;
}

json measure_both(std::int64_t ticks, const std::filesystem::path& wat) {
    const RobotConfig config = twelve_channels();
    const auto engine = wasm::Engine::create();
    if (!engine) throw std::runtime_error(engine.error().message);
    const wasm::EpochTimer timer(*engine);
    const auto controller = load(*engine, config, wat);
    if (!controller) throw std::runtime_error(controller.error().message);

    const std::vector<double> state = some_state();
    const wasm::TickInput input{.state = state, .sim_time_ns = 0};
    wasm::TickOutput output;
    bool all = true;
    const json wasm_ns = measure(ticks, [&](std::int64_t number) {
        all &= (*controller)->tick(number, input, output) == wasm::TickResult::kOk;
    });
    if (!all) throw std::runtime_error((*controller)->trap_message());
    check_output(output, state);

    wasm::Host host(config);
    wasm::TickOutput native_output;
    const json native_ns = measure(ticks, [&](std::int64_t) {
        host.begin(input, native_output);
        native_process(host);
    });
    check_output(native_output, state);
    return {{"ticks", ticks}, {"channels", kChannels}, {"wasm_ns", wasm_ns}, {"native_ns", native_ns}};
}

}  // namespace

int main(int argc, char** argv) {
    std::int64_t ticks = 1'000'000;
    std::filesystem::path wat;
    CLI::App app{
        "Measures a controller's tick in the production host. Example: holdfast-tick-bench "
        "twelve_channels.wat"};
    app.add_option("module", wat, "twelve_channels.wat")->required()->check(CLI::ExistingFile);
    app.add_option("--ticks", ticks, "ticks to measure")
        ->check(CLI::Range(1'000, 100'000'000))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        std::cout << measure_both(ticks, wat).dump() << '\n' << std::flush;
    } catch (const std::exception& error) {
        std::cerr << "holdfast-tick-bench: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
