// The safety daemon's own stop: safe frames to every drive, on its own link, from what the core sent last and
// from what the drives themselves report. Real-time loop only; nothing here allocates after construction.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "drive/profile.hpp"
#include "error.hpp"
#include "link/arrival.hpp"
#include "link/link.hpp"
#include "robot/config.hpp"
#include "shield/shield.hpp"
#include "shm/layout.hpp"

namespace holdfast::safety {

struct StopFrameCounts {
    std::uint64_t sent{};
    std::uint64_t failed{};
    std::uint64_t withheld{};
};

class StopFrames {
  public:
    // Opens one link for each link of the robot, as "safety". `config` must outlive this object.
    [[nodiscard]] static Expected<StopFrames> open(const RobotConfig& config,
                                                   const std::filesystem::path& run_directory);

    // Takes in what the drives have reported since the last call. What waited longer than a period or two is
    // as old as it may be.
    void listen(std::int64_t now_ns);
    // The core is at work: a stop would start from what it sent last.
    void follow(const shm::StateData& core);
    // One safe frame to every drive.
    void send(std::int64_t now_ns, double dt_s);
    // Drives that report only when asked (SYNC) fall silent with the core, which asks them otherwise.
    void ask_for_feedback();
    // A drive reported an error in its latest heartbeat.
    [[nodiscard]] bool drive_fault() const;
    [[nodiscard]] std::uint32_t axis_error(std::size_t drive) const { return axis_error_[drive]; }
    [[nodiscard]] const StopFrameCounts& counts() const { return counts_; }

  private:
    struct Measured {
        double position{};
        double velocity{};
        std::int64_t position_ns{};  // 0: never
        std::int64_t velocity_ns{};
    };

    struct Port {
        std::unique_ptr<Link> link;
        Arrival arrival;
        std::optional<CanFrame> sync;
    };

    explicit StopFrames(const RobotConfig& config) : config_(&config) {}
    void follow_channel(std::size_t channel, const shm::StateData& core, double dt_s);
    void take(std::size_t drive, const CanFrame& frame, std::int64_t arrived_ns);
    void send_to(std::size_t drive, double value);
    [[nodiscard]] ChannelContext context(std::size_t drive, std::int64_t now_ns) const;
    [[nodiscard]] AxisVelocity velocity(std::size_t drive, std::int64_t now_ns) const;

    const RobotConfig* config_;
    std::vector<Port> ports_;
    std::vector<std::unique_ptr<DriveProfile>> profiles_;
    std::array<std::size_t, kMaxDrives> port_of_drive_{};
    std::array<Measured, kMaxDrives> measured_{};
    std::array<std::uint32_t, kMaxDrives> axis_error_{};
    std::array<ChannelHistory, kMaxCommandChannels> history_{};
    shm::StateData core_{};  // cycle 0: none seen
    std::int64_t listened_ns_{0};
    std::int64_t listening_since_ns_{0};  // without a pause
    StopFrameCounts counts_;
};

}  // namespace holdfast::safety
