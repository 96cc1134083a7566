// Any bytes as a controller: compiled, mapped, linked, instantiated and ticked in this process, as
// holdfast-verify does. Refused with a sentence or run within its budget; a panic of the compiler or a crash
// is a finding.
#include <fstream>

#include "fuzz.hpp"
#include "wasm/controller.hpp"
#include "wasm/epoch_timer.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;

struct World {
    RobotConfig config =
        *load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/every_kind.toml");
    std::shared_ptr<wasm::Engine> engine = *wasm::Engine::create();
    wasm::EpochTimer timer{engine};
};

void tick(wasm::Controller& controller, const RobotConfig& config) {
    const std::vector<double> state(config.states.size(), 0.5);
    for (std::int64_t number = 0; number < 3; ++number) {
        wasm::TickOutput output;
        const auto result = controller.tick(number, {.state = state, .sim_time_ns = number}, output);
        claim((output.set >> config.commands.size()) == 0, "no channel is set that does not exist");
        for (std::size_t c = 0; c < config.commands.size(); ++c) {
            if ((output.set >> c & 1u) == 0) continue;
            claim(output.value[c] >= config.commands[c].limits.min &&
                      output.value[c] <= config.commands[c].limits.max,
                  "what is set is within its limits");
        }
        if (result == wasm::TickResult::kOk || result == wasm::TickResult::kLate) continue;
        claim(!controller.trap_message().empty(), "a trap says why");
        return;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static World world;
    const auto compiled = wasm::compile(*world.engine, fuzz::text_of(data, size));
    if (!compiled) {
        claim(compiled.error().message.starts_with("compile: "), "a refusal names its stage");
        return 0;
    }
    const fuzz::InputFile file(*compiled);
    auto controller = wasm::Controller::load(world.engine, world.config, file.path());
    if (controller) {
        tick(**controller, world.config);
    } else {
        const std::string& why = controller.error().message;
        claim(why.starts_with("link: ") || why.starts_with("instantiate: "), why.c_str());
    }
    return 0;
}
