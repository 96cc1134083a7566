// The links of a robot, its drives on them, and what they last said. Tier-1 thread only.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "core/exchange.hpp"
#include "drive/drive.hpp"
#include "link/link.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

struct Sample {
    double value{};
    std::int64_t mono_ns{};  // 0: never received
};

class DriveBus {
  public:
    // Opens every link of the configuration once, as `core`.
    [[nodiscard]] static Expected<DriveBus> open(const RobotConfig& config,
                                                 const std::filesystem::path& run_directory);

    // Takes the waiting frames of every link, a bounded number.
    void receive(std::int64_t now_ns, Counters& counters);
    [[nodiscard]] bool send_command(std::size_t drive, double value, Counters& counters);
    void send_enable(std::size_t drive, Counters& counters);
    void send_clear_errors(std::size_t drive, Counters& counters);
    void send_idle(std::size_t drive, Counters& counters);

    [[nodiscard]] const Sample& sample(std::size_t state) const { return samples_[state]; }
    [[nodiscard]] bool fresh(std::size_t state, std::int64_t now_ns) const;
    [[nodiscard]] std::uint32_t axis_error(std::size_t drive) const { return axis_[drive].error; }
    // 0: not heard since the start, or since forget_axis_states().
    [[nodiscard]] std::uint8_t axis_state(std::size_t drive) const { return axis_[drive].state; }
    void forget_axis_states();

  private:
    struct Axis {
        std::uint32_t error{};
        std::uint8_t state{};
    };
    struct Port {
        std::unique_ptr<Link> link;
        std::vector<std::size_t> drives;
    };

    explicit DriveBus(const RobotConfig& config) : config_(&config) {}
    void take(const Port& port, const CanFrame& frame, std::int64_t now_ns);
    void store(std::size_t drive, const DriveSample& sample, std::int64_t now_ns);
    [[nodiscard]] bool send(std::size_t drive, const CanFrame& frame, Counters& counters);

    const RobotConfig* config_;
    std::vector<Port> ports_;
    std::array<std::size_t, kMaxDrives> port_of_drive_{};
    std::array<Sample, kMaxStateChannels> samples_{};
    std::array<Axis, kMaxDrives> axis_{};
};

}  // namespace holdfast::core
