// holdfast-plant: all simulated drives of a robot, on its links. Nothing above the link can tell them from
// real ones.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <vector>

#include "error.hpp"
#include "link/link.hpp"
#include "plant/axis.hpp"
#include "plant/frame_ring.hpp"
#include "plant/recording.hpp"
#include "robot/config.hpp"

namespace holdfast::plant {

// Joints move on in steps of this length.
inline constexpr std::int64_t kPeriodNs = 1'000'000;

class Plant {
  public:
    // Opens the drives' side of every link. `config` must outlive this object. `seed`: encoders are noisy;
    // `recording` may be null.
    [[nodiscard]] static Expected<std::unique_ptr<Plant>> open(const RobotConfig& config,
                                                               const std::filesystem::path& run_directory,
                                                               std::optional<std::uint64_t> seed,
                                                               std::unique_ptr<Recording> recording);

    // Takes in what arrives until `until_ns` (CLOCK_MONOTONIC), each frame at once.
    void receive_until(std::int64_t until_ns);
    // Moves every joint on by `periods` and reports.
    void step(std::uint64_t periods);
    // {"drives": {name: {...}}, ...}; any thread.
    [[nodiscard]] nlohmann::json status() const;
    // {"frames": [[mono_ns, drive, command, value], ...], "complete": false if there were more}; any thread.
    [[nodiscard]] nlohmann::json frames(std::int64_t since_ns, std::int64_t until_ns) const;

  private:
    struct DriveRecord {
        std::uint64_t frames{};
        std::uint64_t refused{};  // malformed, unknown or not finite
        std::int64_t last_frame_mono_ns{};
    };

    Plant(const RobotConfig& config, std::optional<std::uint64_t> seed, std::unique_ptr<Recording> recording);
    void drain(std::size_t link);
    void take(std::size_t link, const CanFrame& frame);
    void report(std::size_t drive, bool heartbeat_due);

    const RobotConfig* config_;
    std::optional<std::mt19937_64> noise_;
    std::unique_ptr<Recording> recording_;
    std::vector<std::unique_ptr<Link>> links_;
    std::vector<std::string> link_urls_;
    std::array<std::size_t, kMaxDrives> link_of_drive_{};

    mutable std::mutex mutex_;  // between the simulation and status()
    std::vector<Axis> axes_;
    std::vector<DriveRecord> records_;
    FrameRing arrived_;
    std::uint64_t periods_{0};
    std::uint64_t link_receive_errors_{0};
    std::uint64_t link_send_errors_{0};
};

}  // namespace holdfast::plant
