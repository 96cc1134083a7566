// Measures one call of Shield::filter: 12 and 32 position channels with jerk limits, one zone, a coupling for
// every four channels and, on the first six, the workspace of a six-axis arm. Each moving freely, and pressed
// against its workspace and couplings (the dearest way: the step is scaled back). Prints one JSON object;
// nanoseconds.
#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "kinematics/urdf.hpp"
#include "rt/clock.hpp"
#include "shield/robot_shield.hpp"

namespace {

using namespace holdfast;
using nlohmann::json;

constexpr std::size_t kCycles = 50'000;
constexpr std::size_t kArmJoints = 6;
constexpr double kDt = 0.001;

Workspace arm_workspace() {
    const auto model =
        kinematics::read_urdf(HOLDFAST_REPOSITORY "/runtime/control/tests/kinematics/six_joints.urdf");
    if (!model) throw std::runtime_error(model.error().message);
    Workspace workspace;
    for (std::size_t link = 0; link < model->links.size(); ++link) {
        if (model->links[link].name == "tool") workspace.model = kinematics::reduced_to(*model, {link});
    }
    for (std::size_t joint = 0; joint < workspace.model.joints.size(); ++joint) {
        const bool fixed = workspace.model.joints[joint].type == kinematics::JointType::kFixed;
        workspace.sources.push_back(fixed ? JointSource{} : JointSource{.command = joint, .state = {}});
    }
    workspace.tools = {0};
    workspace.boxes = {{{-1.0, -1.0, -1.0}, {1.0, 1.0, 2.0}}, {{-1.0, -1.0, 0.0}, {2.0, 2.0, 2.0}}};
    workspace.keep_out = {{{5.0, 5.0, 5.0}, {6.0, 6.0, 6.0}}, {{-6.0, -6.0, -6.0}, {-5.0, -5.0, -5.0}}};
    return workspace;
}

RobotConfig robot_of(std::size_t channels, bool pressed) {
    RobotConfig robot;
    for (std::size_t i = 0; i < channels; ++i) {
        CommandChannel command;
        command.name = "joint" + std::to_string(i);
        command.kind = ChannelKind::kPosition;
        command.limits = {-2.0, 2.0};
        command.max_rate = 1.0;
        command.max_accel = 5.0;
        command.max_jerk = 100.0;
        command.position_state = i;
        robot.commands.push_back(command);
        robot.states.push_back({.name = command.name + ".position",
                                .unit = "rad",
                                .drive = i,
                                .quantity = Quantity::kPosition,
                                .limits = command.limits,
                                .max_age_ns = 20'000'000});
    }
    robot.states.push_back(robot.states.front());
    for (std::size_t i = 0; i + 1 < channels; i += 4) {
        robot.couplings.push_back({.name = "sum" + std::to_string(i),
                                   .channels = {i, i + 1},
                                   .factors = {1.0, 1.0},
                                   .limits = {pressed ? -0.3 : -9.0, pressed ? 0.3 : 9.0}});
    }
    robot.zones = {{.name = "people",
                    .distance_state = channels,
                    .slow_below_m = 1.5,
                    .stop_below_m = 0.5,
                    .hysteresis_m = 0.1,
                    .slow_factor = {}}};
    robot.workspace = arm_workspace();
    return robot;
}

json quantiles(std::vector<std::int64_t> samples) {
    std::sort(samples.begin(), samples.end());
    const auto at = [&samples](double part) {
        return samples[static_cast<std::size_t>(part * static_cast<double>(samples.size() - 1))];
    };
    return {{"p50", at(0.5)}, {"p99", at(0.99)}, {"p99.9", at(0.999)}, {"max", at(1.0)}};
}

json measure(std::size_t channels, bool pressed) {
    const RobotConfig robot = robot_of(channels, pressed);
    Shield shield(robot);
    std::vector<double> wish(channels);
    std::vector<StateSample> state(robot.states.size(), StateSample{0.0, true});
    state.back().value = 1.2;
    std::vector<std::int64_t> samples;
    samples.reserve(kCycles);
    for (std::size_t cycle = 0; cycle < kCycles; ++cycle) {
        for (std::size_t c = 0; c < channels; ++c)
            wish[c] = std::sin(static_cast<double>(cycle) * 2e-3 + static_cast<double>(c / 2));
        const std::int64_t begin_ns = monotonic_ns();
        const auto sent =
            shield.filter({.wish = wish, .set = 0xffffffff, .state = state, .follow = true}, kDt);
        samples.push_back(monotonic_ns() - begin_ns);
        for (std::size_t c = 0; c < channels; ++c) state[c].value = sent[c];
    }
    json result = quantiles(std::move(samples));
    result["scaled_back"] = shield.counts().coupling + shield.counts().workspace;
    return result;
}

}  // namespace

int main() {
    json result{{"unit", "ns"}, {"cycles", kCycles}};
    for (const std::size_t channels : {std::size_t{12}, std::size_t{32}}) {
        const std::string name = std::to_string(channels) + "_channels";
        result[name] = {{"free", measure(channels, false)}, {"pressed", measure(channels, true)}};
    }
    std::cout << result.dump(2) << "\n";
    return 0;
}
