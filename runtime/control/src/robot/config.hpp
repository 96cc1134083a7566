// What robot.toml says, validated. SI units. The Python twin is runtime/holdfast/config.py; the files in
// runtime/tests/robot_toml/{valid,invalid} keep the two equal.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "error.hpp"
#include "robot/relations.hpp"

namespace holdfast {

inline constexpr std::size_t kMaxCommandChannels = 32;
inline constexpr std::size_t kMaxStateChannels = 64;
inline constexpr std::size_t kMaxDrives = 32;

enum class ChannelKind : std::uint8_t { kVelocity = 0, kPosition = 1, kEffort = 2 };
enum class Quantity : std::uint8_t { kPosition = 0, kVelocity = 1, kEffort = 2 };
enum class RealtimeMode : std::uint8_t { kRequire, kPrefer };
enum class ResumeMode : std::uint8_t { kManual, kAuto };

struct CommandChannel {
    std::string name;
    ChannelKind kind{};
    std::string unit;
    Range limits;
    double default_value{};  // velocity and effort only; a position channel holds instead
    double max_rate{};       // position: unit/s. effort: unit/s. velocity: not used (its rate is max_accel)
    double max_accel{};      // position, velocity: unit/s^2. effort: not used
    std::optional<std::size_t> position_state;  // index into states; position: required
    std::optional<Range> position_limits;       // velocity: stopping distance is kept to these
    std::optional<double> max_jerk;             // position, velocity: unit/s^3
};

struct StateChannel {
    std::string name;
    std::string unit;
    std::size_t drive{};  // index into drives
    Quantity quantity{};
    Range limits;
    std::int64_t max_age_ns{};
};

struct Drive {
    std::string name;
    std::string link;     // "can:vcan0", "unix:plant.sock" (relative to the run directory)
    std::string profile;  // "odrive-cansimple"
    std::uint32_t node{};
    double turns_per_unit{};  // motor turns per unit of the channel (rad or m)
    std::size_t command{};    // index into commands
};

struct ControlConfig {
    std::uint32_t tier1_hz{1000};
    std::uint32_t controller_hz{100};
    RealtimeMode realtime{RealtimeMode::kRequire};
    int tier1_priority{90};
    int controller_priority{80};
    int cpu{-1};                         // -1: not pinned
    std::uint32_t overrun_limit{5};      // this many overruns ...
    std::uint32_t overrun_window{1000};  // ... in this many cycles: controlled stop
    ResumeMode resume{ResumeMode::kManual};
};

struct SafetyConfig {
    int priority{95};
    std::int64_t core_timeout_ns{5'000'000};
    std::int64_t worker_timeout_ns{500'000'000};
    bool worker_required{true};
};

struct RobotConfig {
    std::string id;
    std::string model;
    ControlConfig control;
    SafetyConfig safety;
    std::vector<CommandChannel> commands;
    std::vector<StateChannel> states;
    std::vector<Drive> drives;
    std::vector<Coupling> couplings;
    std::vector<Zone> zones;
    std::optional<Workspace> workspace;

    [[nodiscard]] std::int64_t tier1_period_ns() const { return 1'000'000'000 / control.tier1_hz; }
    [[nodiscard]] std::int64_t controller_period_ns() const { return 1'000'000'000 / control.controller_hz; }
    // DESIGN rule 7: 0.8 of the period, 8 ms at 100 Hz.
    [[nodiscard]] std::int64_t tick_budget_ns() const { return controller_period_ns() * 8 / 10; }
};

// Reads, applies HOLDFAST_<SECTION>__<KEY> from the environment and validates.
// The error lists every problem, one a line: "robot.toml:14: command.elbow.limits: min 2.0 is above max -2.0;
// ..."
[[nodiscard]] Expected<RobotConfig> load_robot_config(const std::filesystem::path& file);

// Where a robot keeps its sockets ($HOLDFAST_RUN_DIR, /run/holdfast) and its state ($HOLDFAST_STATE_DIR,
// /var/lib/holdfast).
[[nodiscard]] std::filesystem::path run_directory();
[[nodiscard]] std::filesystem::path state_directory();

}  // namespace holdfast
