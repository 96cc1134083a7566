// The links of a robot, its drives and sensors on them, and what they last said. Tier-1 thread only.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "core/exchange.hpp"
#include "drive/profile.hpp"
#include "link/arrival.hpp"
#include "link/link.hpp"
#include "robot/config.hpp"
#include "shield/shield.hpp"

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

    // Takes the waiting frames of every link, a bounded number; then gives the drives what they need once a
    // cycle (SYNC, NMT).
    void receive(std::int64_t now_ns, Counters& counters);
    [[nodiscard]] bool send_command(std::size_t drive, double value, Counters& counters);
    void send_enable(std::size_t drive, Counters& counters);
    // Whatever send_enable() began and drives have not finished.
    void cancel_enables();
    void send_clear_errors(std::size_t drive, Counters& counters);
    void send_idle(std::size_t drive, Counters& counters);

    [[nodiscard]] const Sample& sample(std::size_t state) const { return samples_[state]; }
    [[nodiscard]] bool fresh(std::size_t state, std::int64_t now_ns) const;
    // Measured since the start, or since the bus is heard again after a pause: a long age limit does not make
    // what was before it the place to start from.
    [[nodiscard]] bool heard_since_pause(std::size_t state) const {
        return samples_[state].mono_ns >= listening_since_ns_;
    }
    // Of the drive itself, whether or not a [[state]] names it, in the unit of its channel. Awaited for
    // kVelocityAgeNs from the start, and from when the bus is heard again after what the filter takes for a
    // pause.
    [[nodiscard]] AxisVelocity velocity(std::size_t drive, std::int64_t now_ns) const;
    [[nodiscard]] std::uint32_t axis_error(std::size_t drive) const { return axis_[drive].error; }
    // kDriveUnknown: not heard since the start, or since forget_axis_states().
    [[nodiscard]] std::uint8_t axis_state(std::size_t drive) const { return axis_[drive].state; }
    void forget_axis_states();
    // No heartbeat for three of its periods, or never one, or a link that carries nothing.
    [[nodiscard]] bool silent(std::size_t drive) const;
    [[nodiscard]] bool ever_heard(std::size_t drive) const { return axis_[drive].heard_at_ns.has_value(); }

  private:
    struct Axis {
        std::uint32_t error{};
        std::uint8_t state{};
        std::optional<std::int64_t> heard_at_ns{};  // listening time of its last heartbeat
        Sample velocity{};
    };
    struct Port {
        std::unique_ptr<Link> link;
        Arrival arrival;
        std::vector<std::size_t> drives;
        std::vector<std::size_t> sensors;
        std::optional<CanFrame> sync;
        LinkHealth counted;  // what the counters know already
    };

    explicit DriveBus(const RobotConfig& config) : config_(&config) {}
    [[nodiscard]] Expected<void> listen(const Port& port) const;
    [[nodiscard]] Expected<std::size_t> port_of(const std::string& url,
                                                const std::filesystem::path& run_directory);
    void drain(Port& port, std::int64_t now_ns, Counters& counters);
    void count_health(Port& port, Counters& counters) const;
    void maintain(const Port& port, Counters& counters);
    void take(const Port& port, const CanFrame& frame, std::int64_t arrived_ns);
    void store(std::size_t drive, const DriveSample& sample, std::int64_t arrived_ns);
    void store(std::size_t sensor, Quantity quantity, double value, std::int64_t arrived_ns);
    [[nodiscard]] bool send(std::size_t drive, const DriveFrames& frames, Counters& counters);

    const RobotConfig* config_;
    std::vector<Port> ports_;
    std::vector<std::string> urls_;  // of the ports
    std::vector<std::unique_ptr<DriveProfile>> profiles_;
    std::array<std::size_t, kMaxDrives> port_of_drive_{};
    std::array<Sample, kMaxStateChannels> samples_{};
    std::array<Axis, kMaxDrives> axis_{};
    std::int64_t last_receive_ns_{0};
    std::int64_t listening_since_ns_{0};  // without a pause
    // Time spent listening: what a drive said while this loop stood still is no fault of the drive.
    std::int64_t listened_ns_{0};
};

}  // namespace holdfast::core
