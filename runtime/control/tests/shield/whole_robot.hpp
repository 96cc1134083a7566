// A robot in memory whose channels owe something to each other in every way there is, and whose joints follow
// perfectly what is sent.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kinematics/urdf.hpp"
#include "robot/config.hpp"
#include "shield/robot_shield.hpp"

namespace holdfast {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

enum Channel : std::size_t {
    kTurn,
    kLift,
    kSlide,
    kLeader,
    kFollower,
    kA,
    kB,
    kLeft,
    kRight,
    kGrip,
    kSqueeze
};
inline constexpr std::size_t kChannels = 11;
inline constexpr std::size_t kPositions = 7;  // the first ones; each has the state of the same index
inline constexpr std::size_t kNearest = kPositions;

inline CommandChannel position_channel(const char* name, Range limits, double rate, double accel, double jerk,
                                       std::size_t state) {
    CommandChannel channel;
    channel.name = name;
    channel.kind = ChannelKind::kPosition;
    channel.limits = limits;
    channel.max_rate = rate;
    channel.max_accel = accel;
    channel.max_jerk = jerk;
    channel.position_state = state;
    return channel;
}

inline CommandChannel other_channel(const char* name, ChannelKind kind, double limit, double rate) {
    CommandChannel channel;
    channel.name = name;
    channel.kind = kind;
    channel.limits = {-limit, limit};
    (kind == ChannelKind::kEffort ? channel.max_rate : channel.max_accel) = rate;
    return channel;
}

inline Workspace arm_workspace() {
    const auto model =
        kinematics::read_urdf(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/three_joints.urdf");
    Workspace workspace;
    for (std::size_t link = 0; link < model->links.size(); ++link) {
        if (model->links[link].name == "tip") workspace.model = kinematics::reduced_to(*model, {link});
    }
    workspace.sources = {{.command = kTurn, .state = {}},
                         {.command = kLift, .state = {}},
                         {.command = kSlide, .state = {}},
                         {}};
    workspace.tools = {0};
    workspace.margin_m = 0.01;
    workspace.boxes = {{{-0.2, -0.6, 0.2}, {0.9, 0.6, 1.2}}, {{-0.9, -0.3, 0.3}, {0.1, 0.3, 0.9}}};
    workspace.keep_out = {{{0.3, 0.15, 0.0}, {0.7, 0.35, 0.7}}};
    return workspace;
}

inline RobotConfig whole_robot() {
    RobotConfig robot;
    robot.id = "whole";
    robot.commands = {position_channel("turn", {-3.0, 3.0}, 1.5, 6.0, 80.0, kTurn),
                      position_channel("lift", {-1.5, 1.5}, 1.0, 5.0, 60.0, kLift),
                      position_channel("slide", {-0.2, 0.3}, 0.5, 2.0, 30.0, kSlide),
                      position_channel("leader", {-1.0, 1.0}, 1.0, 8.0, 100.0, kLeader),
                      position_channel("follower", {-0.3, 0.5}, 0.5, 4.0, 50.0, kFollower),
                      position_channel("a", {-1.0, 1.0}, 1.0, 5.0, 100.0, kA),
                      position_channel("b", {-1.0, 1.0}, 0.4, 2.0, 20.0, kB),
                      other_channel("left", ChannelKind::kVelocity, 2.0, 5.0),
                      other_channel("right", ChannelKind::kVelocity, 2.0, 2.0),
                      other_channel("grip", ChannelKind::kEffort, 2.0, 20.0),
                      other_channel("squeeze", ChannelKind::kEffort, 2.0, 7.0)};
    robot.commands[kLeft].max_jerk = 60.0;
    for (std::size_t i = 0; i < kPositions; ++i) {
        robot.states.push_back({.name = robot.commands[i].name + ".position",
                                .unit = "rad",
                                .drive = i,
                                .quantity = Quantity::kPosition,
                                .limits = {-4.0, 4.0},
                                .max_age_ns = 20'000'000});
    }
    robot.states.push_back({.name = "nearest",
                            .unit = "m",
                            .drive = 0,
                            .quantity = Quantity::kPosition,
                            .limits = {0.0, 5.0},
                            .max_age_ns = 20'000'000});
    robot.couplings = {
        {.name = "mimic",
         .channels = {kLeader, kFollower},
         .factors = {0.5, 1.0},
         .limits = {0.1 - 1e-3, 0.1 + 1e-3},
         .mimic = true,
         .multiplier = -0.5,
         .offset = 0.1,
         .tolerance = 1e-3},
        {.name = "together", .channels = {kA, kB}, .factors = {1.0, 1.0}, .limits = {-0.6, 0.6}},
        {.name = "apart", .channels = {kA, kB}, .factors = {1.0, -2.0}, .limits = {-1.0, 1.2}},
        {.name = "wheels", .channels = {kLeft, kRight}, .factors = {1.0, -1.0}, .limits = {-0.8, 0.8}},
        {.name = "gripper", .channels = {kGrip, kSqueeze}, .factors = {1.0, 1.0}, .limits = {-1.5, 1.5}}};
    robot.zones = {{.name = "people",
                    .distance_state = kNearest,
                    .slow_below_m = 1.5,
                    .stop_below_m = 0.5,
                    .hysteresis_m = 0.1,
                    .slow_factor = {}}};
    robot.workspace = arm_workspace();
    return robot;
}

inline double step_of(double dt_s) {
    return std::isfinite(dt_s) && dt_s > 0.0 ? std::min(dt_s, kMaxStepS) : kAssumedStepS;
}

// The robot with its filter, and what every frame that leaves it must satisfy.
class WholeRobot {
  public:
    explicit WholeRobot(RobotConfig robot = whole_robot())
        : config(std::move(robot)),
          shield(config),
          wish(config.commands.size()),
          state(config.states.size()),
          turning(config.commands.size()) {
        for (StateSample& sample : state) sample = {0.0, true};
        if (state.size() > kNearest) state[kNearest].value = 9.0;
        if (state.size() > kFollower) state[kFollower].value = 0.1;
    }

    std::span<const double> frame(double dt_s, bool follow = true) {
        for (std::size_t c = 0; c < config.commands.size(); ++c) last[c] = shield.history(c);
        const ShieldInput input{
            .wish = wish, .set = set, .state = state, .velocity = turning, .follow = follow};
        const auto sent = shield.filter(input, dt_s);
        step_s = step_of(dt_s);
        paused = std::isfinite(dt_s) && dt_s > kMaxStepS;
        for (std::size_t c = 0; c < std::min(kPositions, config.commands.size()); ++c) {
            if (shield.history(c).started) state[c].value = sent[c];
        }
        for (std::size_t c = 0; c < config.commands.size(); ++c) turning[c] = {.measured = sent[c]};
        return sent;
    }
    void frames(int count, double dt_s = 0.001) {
        for (int i = 0; i < count; ++i) (void)frame(dt_s);
    }
    [[nodiscard]] bool stands() const {
        for (std::size_t c = 0; c < kChannels; ++c) {
            const ChannelHistory& history = shield.history(c);
            const bool position = config.commands[c].kind == ChannelKind::kPosition;
            if ((position ? history.velocity : history.sent) != 0.0 || history.acceleration != 0.0)
                return false;
        }
        return true;
    }
    [[nodiscard]] double sent(std::size_t channel) const { return shield.history(channel).sent; }
    [[nodiscard]] double velocity(std::size_t channel) const { return shield.history(channel).velocity; }

    // Limits, rate, acceleration and jerk of one channel against the frame before.
    void check_channel(std::size_t c) const {
        const CommandChannel& channel = config.commands[c];
        ChannelHistory before = last[c];
        const ChannelHistory& now = shield.history(c);
        if (!before.started || !now.started) return;
        if (paused && channel.kind == ChannelKind::kPosition) before.velocity = before.acceleration = 0.0;
        ASSERT_TRUE(std::isfinite(now.sent)) << channel.name;
        ASSERT_GE(now.sent, channel.limits.min) << channel.name;
        ASSERT_LE(now.sent, channel.limits.max) << channel.name;
        if (channel.kind == ChannelKind::kPosition) check_position(channel, before, now);
        if (channel.kind == ChannelKind::kVelocity) check_velocity(channel, before, now);
    }
    void check_channels() const {
        for (std::size_t c = 0; c < config.commands.size(); ++c) check_channel(c);
    }
    void check_couplings() const {
        for (const Coupling& coupling : config.couplings) {
            double sum = 0.0;
            for (std::size_t i = 0; i < coupling.channels.size(); ++i)
                sum += coupling.factors[i] * sent(coupling.channels[i]);
            ASSERT_GE(sum, coupling.limits.min - kTolerance) << coupling.name;
            ASSERT_LE(sum, coupling.limits.max + kTolerance) << coupling.name;
        }
    }
    [[nodiscard]] Eigen::Vector3d tip() const {
        const Workspace& workspace = *config.workspace;
        kinematics::Forward forward(workspace.model, workspace.tools);
        const std::array q{sent(kTurn), sent(kLift), sent(kSlide), 0.0};
        std::array<Eigen::Vector3d, 1> tool;
        forward.place(q, tool);
        return tool[0];
    }
    // How far the tip is inside the box's faces, its smallest distance; negative outside.
    static double depth(const Box& box, const Eigen::Vector3d& point) {
        double depth = kInf;
        for (std::size_t i = 0; i < 3; ++i) {
            const double value = point[static_cast<int>(i)];
            depth = std::min({depth, value - box.min[i], box.max[i] - value});
        }
        return depth;
    }
    void check_workspace() const {
        const Workspace& workspace = *config.workspace;
        const Eigen::Vector3d point = tip();
        double inside = -kInf;
        for (const Box& box : workspace.boxes) inside = std::max(inside, depth(box, point));
        if (!workspace.boxes.empty()) {
            ASSERT_GE(inside, workspace.margin_m - kTolerance) << point.transpose();
        }
        for (const Box& box : workspace.keep_out)
            ASSERT_LE(depth(box, point), -workspace.margin_m + kTolerance) << point.transpose();
    }

    RobotConfig config;
    Shield shield;
    std::vector<double> wish;
    std::uint32_t set{0xffffffff};
    std::vector<StateSample> state;
    std::vector<AxisVelocity> turning;  // as each channel was told
    std::array<ChannelHistory, kMaxCommandChannels> last{};
    double step_s{};
    bool paused{};

    static constexpr double kTolerance = 1e-7;

  private:
    void check_position(const CommandChannel& channel, const ChannelHistory& before,
                        const ChannelHistory& now) const {
        const double slack = 1e-9;
        ASSERT_LE(std::abs(now.velocity), channel.max_rate + slack) << channel.name;
        ASSERT_LE(std::abs(now.sent - before.sent), channel.max_rate * step_s + slack) << channel.name;
        ASSERT_LE(std::abs(now.velocity - before.velocity), channel.max_accel * step_s + 1e-8)
            << channel.name;
        if (!channel.max_jerk) return;
        ASSERT_LE(std::abs(now.acceleration), channel.max_accel + 1e-6) << channel.name;
        ASSERT_LE(std::abs(now.acceleration - before.acceleration), *channel.max_jerk * step_s + 1e-3)
            << channel.name;
        // What is remembered is what was sent: the error of the trapezium rule is the third derivative's.
        ASSERT_LE(std::abs(now.sent - before.sent - (now.velocity + before.velocity) / 2.0 * step_s),
                  *channel.max_jerk * step_s * step_s * step_s / 6.0 + slack)
            << channel.name;
    }
    void check_velocity(const CommandChannel& channel, const ChannelHistory& before,
                        const ChannelHistory& now) const {
        ASSERT_LE(std::abs(now.sent - before.sent), channel.max_accel * step_s + 1e-9) << channel.name;
        if (!channel.max_jerk) return;
        ASSERT_LE(std::abs(now.acceleration), channel.max_accel + 1e-6) << channel.name;
        ASSERT_LE(std::abs(now.acceleration - before.acceleration), *channel.max_jerk * step_s + 1e-3)
            << channel.name;
    }
};

}  // namespace holdfast
