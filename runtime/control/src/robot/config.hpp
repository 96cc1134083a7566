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
inline constexpr std::size_t kMaxSensors = 16;
inline constexpr std::size_t kMaxLinks = 16;
inline constexpr std::size_t kMaxInputChannels = 16;

enum class ChannelKind : std::uint8_t { kVelocity = 0, kPosition = 1, kEffort = 2 };
// The first three are measured by drives, the others by sensors.
enum class Quantity : std::uint8_t {
    kPosition = 0,
    kVelocity = 1,
    kEffort = 2,
    kAngularRateX = 3,  // rad/s
    kAngularRateY = 4,
    kAngularRateZ = 5,
    kAccelerationX = 6,  // m/s^2
    kAccelerationY = 7,
    kAccelerationZ = 8,
    kForceX = 9,  // N
    kForceY = 10,
    kForceZ = 11,
    kTorqueX = 12,  // N m
    kTorqueY = 13,
    kTorqueZ = 14,
    kDistance = 15,  // m
};
inline constexpr std::size_t kQuantities = 16;
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
    std::optional<double> max_jerk{};           // position, velocity: unit/s^3
};

struct StateChannel {
    std::string name;
    std::string unit;
    std::size_t drive{};  // index into drives; without meaning if a sensor measures it
    Quantity quantity{};
    Range limits;
    std::int64_t max_age_ns{};
    std::optional<std::size_t> sensor{};  // index into sensors; empty: a drive measures it
    std::optional<double> noise{};        // standard deviation of a sample; else [estimator] derives one
};

// A set-point from outside the robot, of a person at a joystick. Controllers read it like a state.
struct InputChannel {
    std::string name;
    std::string unit;
    Range limits;
    std::int64_t max_age_ns{};
};

struct Drive {
    std::string name;
    std::string
        link;  // "can:vcan0", "serial:/dev/ttyUSB0?baud=921600", "unix:plant.sock" (in the run directory)
    std::string profile;  // "odrive-cansimple" or "cia402"
    std::uint32_t node{};
    double turns_per_unit{};                 // motor turns per unit of the channel (rad or m)
    std::size_t command{};                   // index into commands
    std::int64_t heartbeat_ns{100'000'000};  // its period; silent after three of them
    std::uint32_t feedback_hz{};             // 0: once each Tier-1 cycle
    double counts_per_turn{};                // cia402: position increments of one motor turn
};

enum class SensorProfile : std::uint8_t { kImu = 0, kForceTorque = 1, kDistance = 2 };

struct Sensor {
    std::string name;
    std::string link;
    SensorProfile profile{};
    std::uint32_t node{};
    std::uint32_t rate_hz{};  // 0: once each Tier-1 cycle
};

// What [[link]] says of a link beyond its URL.
struct LinkSettings {
    std::string name;
    std::string url;
    std::uint32_t bitrate{};  // bit/s; 0: a bus without hardware, which has no limit
};

struct ControlConfig {
    std::uint32_t tier1_hz{1000};
    std::uint32_t controller_hz{100};
    RealtimeMode realtime{RealtimeMode::kRequire};
    int tier1_priority{90};
    int controller_priority{80};
    int cpu{-1};                             // -1: not pinned
    std::uint32_t overrun_limit{5};          // this many overruns ...
    std::uint32_t overrun_window{1000};      // ... in this many cycles: controlled stop
    std::uint32_t safety_silent_cycles{20};  // without a heartbeat of holdfast-safety: controlled stop
    ResumeMode resume{ResumeMode::kManual};
    // A controller that is deployed while the robot is armed: ticks beside the active one with nothing sent,
    // ticks near the active one's output, how near (of the channel's range), and ticks that prove it. 0
    // ticks: without that stage.
    std::uint32_t shadow_ticks{100};
    std::uint32_t canary_ticks{100};
    double canary_deviation{0.1};
    std::uint32_t watch_ticks{1000};
};

// What the safety daemon does about a finding.
enum class Reaction : std::uint8_t { kStop, kWarn, kOff };

// A line of a GPIO chip, which is named by its device ("gpiochip0") or its label.
struct GpioLine {
    std::string chip;
    std::uint32_t offset{};
};

struct SafetyConfig {
    int priority{95};
    std::int64_t core_timeout_ns{5'000'000};
    std::int64_t worker_timeout_ns{500'000'000};
    bool worker_required{true};
    std::vector<GpioLine> estop_lines;  // none, or the two channels
    bool estop_stop_is_high{false};     // the level of a contact that is open
    std::int64_t estop_discrepancy_ns{500'000'000};
    std::optional<GpioLine> enable_line;
    bool enable_pulses{false};             // toggles each period instead of staying high
    std::int64_t enable_drop_delay_ns{0};  // after a stop; 0: stop category 0
    Reaction drive_faults{Reaction::kStop};
    Reaction core_overruns{Reaction::kStop};
    Reaction temperature{Reaction::kStop};
    double max_temperature_c{95.0};
    double temperature_hysteresis_c{5.0};
    bool temperature_required{false};
    Reaction memory_pressure{Reaction::kWarn};
    double max_memory_pressure_percent{50.0};  // time in which every task waited for memory, over 10 s
    std::string watchdog;                      // its device; empty: none
    int watchdog_timeout_s{10};
    std::uint32_t evidence_files{20};
};

// The state estimator. Shares are of a channel's largest velocity, so that they fit every joint.
struct EstimatorConfig {
    bool enabled{true};
    double rejection_probability{1e-6};    // of a good sample: sets the innovation gate
    std::uint32_t max_rejections{10};      // in a row: start afresh, unhealthy
    std::uint32_t recovery_samples{50};    // accepted in a row after that: healthy again
    double acceleration_time_s{0.01};      // a joint may take up its max_accel within this time
    double position_noise{1e-4};           // standard deviation, share of the way of one second
    double velocity_noise{0.01};           // standard deviation, share
    std::optional<double> timing_noise_s;  // standard deviation of the moment of a sample; else one period
    double gyro_noise{5e-3};               // rad/s/sqrt(Hz)
    double gyro_bias_walk{1e-4};           // rad/s^2/sqrt(Hz)
    double accelerometer_noise{0.5};       // m/s^2
    double accelerometer_gate{2.0};        // m/s^2
};

struct RobotConfig {
    std::string id;
    std::string model;
    ControlConfig control;
    SafetyConfig safety;
    EstimatorConfig estimator{};
    std::vector<CommandChannel> commands;
    std::vector<StateChannel> states;
    std::vector<Drive> drives;
    std::vector<InputChannel> inputs{};
    std::vector<Sensor> sensors{};
    std::vector<LinkSettings> links{};  // only those that have a section
    std::vector<Coupling> couplings{};
    std::vector<Zone> zones{};
    std::optional<Workspace> workspace{};

    // What state.get reads: the state channels, then the inputs.
    [[nodiscard]] std::size_t readable_count() const { return states.size() + inputs.size(); }
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
