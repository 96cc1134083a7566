// Any text as robot.toml: taken or refused with a sentence that names the file. What is taken keeps its
// promises to the real-time code.
#include <cmath>

#include "fuzz.hpp"
#include "robot/config.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;

void check(const RobotConfig& config) {
    claim(!config.commands.empty() && config.commands.size() <= kMaxCommandChannels, "number of commands");
    claim(config.states.size() <= kMaxStateChannels && config.drives.size() <= kMaxDrives,
          "number of states, drives");
    claim(config.tier1_period_ns() > 0 && config.controller_period_ns() >= config.tier1_period_ns(),
          "periods");
    for (const CommandChannel& command : config.commands) {
        claim(std::isfinite(command.limits.min) && std::isfinite(command.limits.max) &&
                  command.limits.min < command.limits.max,
              "limits are finite and in order");
        claim(!command.position_state || *command.position_state < config.states.size(),
              "position_state exists");
    }
    for (const Drive& drive : config.drives) {
        claim(drive.command < config.commands.size(), "a drive carries a command");
        claim(std::isfinite(drive.turns_per_unit) && drive.turns_per_unit != 0.0, "turns_per_unit");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::InputFile file(fuzz::text_of(data, size));
    const auto config = load_robot_config(file.path());
    if (config) {
        check(*config);
    } else {
        claim(config.error().message.starts_with(file.path().string()), "a refusal names the file");
    }
    return 0;
}
