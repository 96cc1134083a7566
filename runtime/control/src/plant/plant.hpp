// holdfast-plant: all simulated drives and sensors of a robot, on its links. Nothing above the link can tell
// them from real ones.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <vector>

#include "error.hpp"
#include "link/link.hpp"
#include "plant/fault.hpp"
#include "plant/frame_ring.hpp"
#include "plant/outbox.hpp"
#include "plant/recording.hpp"
#include "plant/simulated_drive.hpp"
#include "plant/simulated_sensor.hpp"
#include "robot/config.hpp"

namespace holdfast::plant {

// Joints move on in steps of this length.
inline constexpr std::int64_t kPeriodNs = 1'000'000;

class Plant {
  public:
    // Opens the drives' side of every link. `config` must outlive this object. `seed`: what is measured has
    // noise; `recording` may be null.
    [[nodiscard]] static Expected<std::unique_ptr<Plant>> open(const RobotConfig& config,
                                                               const std::filesystem::path& run_directory,
                                                               std::optional<std::uint64_t> seed,
                                                               std::unique_ptr<Recording> recording);

    // Takes in what arrives until `until_ns` (CLOCK_MONOTONIC), each frame at once, and what waits already in
    // any case.
    void receive_until(std::int64_t until_ns);
    // Moves every joint on by `periods` and reports.
    void step(std::uint64_t periods);

    // Any thread.
    // {"drives": {name: {...}}, "sensors": {name: {...}}, ...}
    [[nodiscard]] nlohmann::json status() const;
    [[nodiscard]] Expected<void> add_fault(const FaultRequest& request);
    // Of one device, or of all if empty; those that are still to come included.
    [[nodiscard]] Expected<void> clear_faults(const std::string& device);
    // What a sensor measures from now on.
    [[nodiscard]] Expected<void> set_measured(const std::string& sensor, const std::string& quantity,
                                              double value);
    // {"frames": [[mono_ns, drive, command, value], ...], "complete": false if there were more}; any thread.
    [[nodiscard]] nlohmann::json frames(std::int64_t since_ns, std::int64_t until_ns) const;

  private:
    // What a drive and a sensor have in common: their place on a link, and what can go wrong with it.
    struct Device {
        std::string name;
        std::size_t link{};
        std::uint64_t feedback_periods{};
        Faults faults;
        Outbox outbox;
        std::mt19937_64 noise;
    };
    struct DriveRecord {
        std::uint64_t frames{};
        std::uint64_t refused{};  // malformed, unknown or not finite
        std::int64_t last_frame_mono_ns{};
    };
    struct Scheduled {
        FaultRequest request;
        std::uint64_t at_period{};
    };

    Plant(const RobotConfig& config, std::optional<std::uint64_t> seed, std::unique_ptr<Recording> recording);
    [[nodiscard]] Expected<void> connect(Device& device, const std::string& url,
                                         const std::filesystem::path& run_directory);
    [[nodiscard]] std::vector<Device*> devices_named(const std::string& name);
    [[nodiscard]] Expected<void> refuse_what_cannot_be(const FaultRequest& request) const;
    void drain(std::size_t link);
    void take(std::size_t link, const CanFrame& frame);
    void take_for(std::size_t drive, const CanFrame& frame);
    void record(std::size_t drive, const CanFrame& frame, const std::optional<Received>& received);
    void begin_due_faults();
    void begin_fault(const FaultRequest& request);
    void step_drive(std::size_t drive, std::uint64_t before, std::uint64_t periods);
    void report_drive(std::size_t drive, Due due);
    void report_sensor(std::size_t sensor);
    void put(Device& device, const DriveFrames& frames);
    void deliver(Device& device);

    const RobotConfig* config_;
    bool noisy_;
    std::uint64_t seed_;
    std::unique_ptr<Recording> recording_;
    std::vector<std::unique_ptr<Link>> links_;
    std::vector<std::string> link_urls_;

    mutable std::mutex mutex_;  // between the simulation and the control socket
    std::vector<std::unique_ptr<SimulatedDrive>> drives_;
    std::vector<Device> drive_devices_;
    std::vector<DriveRecord> records_;
    std::vector<JointState> measured_;  // by drive, what a frozen one repeats
    std::vector<SimulatedSensor> sensors_;
    std::vector<Device> sensor_devices_;
    std::vector<Measured> sensed_;
    std::vector<Scheduled> scheduled_;
    FrameRing arrived_;
    std::uint64_t periods_{0};
    std::uint64_t link_receive_errors_{0};
    std::uint64_t link_send_errors_{0};
};

}  // namespace holdfast::plant
