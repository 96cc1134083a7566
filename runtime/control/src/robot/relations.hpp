// What robot.toml says about channels together: couplings, the workspace and distance zones. The filter that
// keeps them is shield/robot_shield.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kinematics/model.hpp"

namespace holdfast {

inline constexpr std::size_t kMaxCouplings = 16;
inline constexpr std::size_t kMaxCoupledChannels = 8;
inline constexpr std::size_t kMaxZones = 8;
inline constexpr std::size_t kMaxTools = 4;
inline constexpr std::size_t kMaxBoxes = 8;

struct Range {
    double min{};
    double max{};
};

// limits.min <= sum(factors[i] * command[channels[i]]) <= limits.max
struct Coupling {
    std::string name;
    std::vector<std::size_t> channels;  // indices into commands, all of one kind
    std::vector<double> factors;
    Range limits;
    // A mimic holds channels[1] = multiplier * channels[0] + offset, within a tolerance that `limits`
    // express.
    bool mimic{};
    double multiplier{1.0};
    double offset{};
    double tolerance{};
};

// Distance to whatever must not be hit: an obstacle, a person.
struct Zone {
    std::string name;
    std::size_t distance_state{};  // index into states
    double slow_below_m{};
    double stop_below_m{};
    double hysteresis_m{};              // a stop ends when the distance is this much above stop_below_m
    std::optional<double> slow_factor;  // without one: linear from 1 at slow_below_m to 0 at stop_below_m
};

// Axis-aligned, in the frame of the URDF's root link, m.
struct Box {
    std::array<double, 3> min{};
    std::array<double, 3> max{};
};

// Where the value of a joint comes from: a command channel, or a state that nothing commands.
struct JointSource {
    std::optional<std::size_t> command;
    std::optional<std::size_t> state;
};

struct Workspace {
    kinematics::Model model;           // only the joints that move a tool
    std::vector<JointSource> sources;  // one a joint of the model; fixed joints have neither
    std::vector<std::size_t> tools;    // indices into model.links
    double margin_m{};
    std::vector<Box> boxes;     // a tool stays in one of them; none: anywhere
    std::vector<Box> keep_out;  // and outside each of these
};

}  // namespace holdfast
