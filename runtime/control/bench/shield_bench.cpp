// Measures one call of Shield::filter: 12 and 32 position channels with jerk limits, one zone, a coupling for
// every four channels and, on the first six, the workspace of a six-axis arm. Each moving freely, and pressed
// against its workspace and couplings (the dearest way: the step is scaled back). Then what a robot.toml may
// ask for at most: kMaxTools tools between the faces of kMaxBoxes boxes and as many keep-outs, carried by
// that arm and by one of kMaxCommandChannels joints; and kMaxCouplings couplings on top. Prints one JSON
// object; nanoseconds, and beside them those that the thread was on a processor (`on_cpu`, two readings of
// that clock included): on a machine that is not idle, the maximum is the scheduler's.
#include <array>
#include <cmath>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "kinematics/forward.hpp"
#include "kinematics/urdf.hpp"
#include "quantiles.hpp"
#include "rt/clock.hpp"
#include "shield/robot_shield.hpp"

namespace {

using namespace holdfast;
using nlohmann::json;

constexpr std::size_t kCycles = 50'000;
constexpr std::size_t kCyclesAtMost = 5'000;  // of the largest configurations, which take longer
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

// As many joints as there can be channels, 4 cm apart, each across the one before.
kinematics::Model longest_chain() {
    kinematics::Model model;
    model.links.push_back({.name = "base", .joint = {}});
    for (std::size_t i = 0; i < kMaxCommandChannels; ++i) {
        kinematics::Joint joint;
        joint.name = "j" + std::to_string(i);
        joint.type = kinematics::JointType::kRevolute;
        if (i > 0) joint.parent = i - 1;
        joint.translation = {0.04, 0.0, 0.0};
        joint.axis = {0.0, i % 2 == 0 ? 0.0 : 1.0, i % 2 == 0 ? 1.0 : 0.0};
        model.joints.push_back(joint);
        model.links.push_back({.name = "l" + std::to_string(i), .joint = i});
    }
    return model;
}

// The corners of a gripper on the model's last joint.
void add_tools(Workspace& workspace) {
    kinematics::Model& model = workspace.model;
    const std::size_t hand = model.joints.size() - 1;
    workspace.tools.clear();
    for (std::size_t i = 0; i < kMaxTools; ++i) {
        kinematics::Joint corner;
        corner.name = "corner" + std::to_string(i);
        corner.parent = hand;
        corner.translation = {0.0, i % 2 == 0 ? 0.01 : -0.01, i < 2 ? 0.01 : -0.01};
        workspace.tools.push_back(model.links.size());
        model.links.push_back({.name = corner.name, .joint = model.joints.size()});
        model.joints.push_back(corner);
    }
}

// Slabs that overlap, so that a way leads from one into the next, in the order in which the search for what
// covers it takes the most rounds; and a fence of keep-outs along the way.
void add_boxes(Workspace& workspace) {
    constexpr double kSlabM = 0.02;
    kinematics::Forward forward(workspace.model, workspace.tools);
    std::array<Eigen::Vector3d, kMaxTools> tools;
    forward.place(std::vector<double>(workspace.model.joints.size()), tools);
    const Eigen::Vector3d& at = tools[0];
    workspace.boxes.clear();
    workspace.keep_out.clear();
    for (std::size_t i = 0; i < kMaxBoxes; ++i) {
        const double x = at.x() + kSlabM * (static_cast<double>(kMaxBoxes) / 2.0 - static_cast<double>(i));
        workspace.boxes.push_back({{x - kSlabM, -5.0, -5.0}, {x + kSlabM, 5.0, 5.0}});
        const double y = at.y() + (i % 2 == 0 ? 0.1 : -0.2);
        workspace.keep_out.push_back({{x - kSlabM, y, -5.0}, {x + kSlabM, y + 0.1, 5.0}});
    }
}

Workspace largest_workspace(kinematics::Model model) {
    Workspace workspace;
    workspace.model = std::move(model);
    add_tools(workspace);
    std::size_t channel = 0;
    for (const kinematics::Joint& joint : workspace.model.joints) {
        const bool fixed = joint.type == kinematics::JointType::kFixed;
        workspace.sources.push_back(fixed ? JointSource{} : JointSource{.command = channel++, .state = {}});
    }
    add_boxes(workspace);
    return workspace;
}

std::vector<Coupling> most_couplings() {
    std::vector<Coupling> couplings;
    for (std::size_t i = 0; i < kMaxCouplings; ++i) {
        Coupling coupling;
        coupling.name = "sum" + std::to_string(i);
        coupling.limits = {-0.3, 0.3};
        for (std::size_t c = 0; c < kMaxCoupledChannels; ++c) {
            coupling.channels.push_back((2 * i + c) % kMaxCommandChannels);
            coupling.factors.push_back(c % 2 == 0 ? 1.0 : -0.7);
        }
        couplings.push_back(coupling);
    }
    return couplings;
}

std::int64_t thread_cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

json measure(const RobotConfig& robot, std::size_t cycles) {
    const std::size_t channels = robot.commands.size();
    Shield shield(robot);
    std::vector<double> wish(channels);
    std::vector<StateSample> state(robot.states.size(), StateSample{0.0, true});
    state.back().value = 1.2;
    std::vector<std::int64_t> samples;
    samples.reserve(cycles);
    std::vector<std::int64_t> on_cpu;
    on_cpu.reserve(cycles);
    for (std::size_t cycle = 0; cycle < cycles; ++cycle) {
        for (std::size_t c = 0; c < channels; ++c) {
            const std::size_t pair = c / 2;
            wish[c] = std::sin(static_cast<double>(cycle) * 2e-3 + static_cast<double>(pair));
        }
        const std::int64_t begin_cpu_ns = thread_cpu_ns();
        const std::int64_t begin_ns = monotonic_ns();
        const auto sent =
            shield.filter({.wish = wish, .set = 0xffffffff, .state = state, .follow = true}, kDt);
        samples.push_back(monotonic_ns() - begin_ns);
        on_cpu.push_back(thread_cpu_ns() - begin_cpu_ns);
        for (std::size_t c = 0; c < channels; ++c) state[c].value = sent[c];
    }
    json result = bench::quantiles(std::move(samples));
    result["on_cpu"] = bench::quantiles(std::move(on_cpu));
    result["cycles"] = cycles;
    result["scaled_back"] = shield.counts().coupling + shield.counts().workspace;
    return result;
}

json measure_at_most() {
    RobotConfig robot = robot_of(kMaxCommandChannels, false);
    robot.workspace = largest_workspace(arm_workspace().model);
    json result{{"arm", measure(robot, kCyclesAtMost)}};
    robot.workspace = largest_workspace(longest_chain());
    result["chain"] = measure(robot, kCyclesAtMost);
    robot.couplings = most_couplings();
    result["chain_and_couplings"] = measure(robot, kCyclesAtMost);
    return result;
}

}  // namespace

int main() {
    json result{{"unit", "ns"}};
    for (const std::size_t channels : {std::size_t{12}, std::size_t{32}}) {
        const std::string name = std::to_string(channels) + "_channels";
        result[name] = {{"free", measure(robot_of(channels, false), kCycles)},
                        {"pressed", measure(robot_of(channels, true), kCycles)}};
    }
    result["at_most"] = measure_at_most();
    std::cout << result.dump(2) << "\n";
    return 0;
}
