// A simulated sensor: what it measures is set from outside, its noise comes from the plant's seed.
#pragma once

#include <array>
#include <optional>
#include <random>
#include <string_view>

#include "drive/profile.hpp"
#include "robot/config.hpp"
#include "sensor/frames.hpp"

namespace holdfast::plant {

using Measured = std::array<double, kQuantities>;

// "angular_rate_x" and so on, as robot.toml writes them.
[[nodiscard]] std::string_view name_of(Quantity quantity);

class SimulatedSensor {
  public:
    explicit SimulatedSensor(const Sensor& sensor);

    // False: this sensor does not measure it.
    [[nodiscard]] bool set(std::string_view quantity, double value);
    [[nodiscard]] Measured measure(std::mt19937_64* noise) const;
    [[nodiscard]] DriveFrames feedback(const Measured& measured) const;
    [[nodiscard]] const Sensor& sensor() const { return sensor_; }
    [[nodiscard]] double value(Quantity quantity) const { return truth_[static_cast<std::size_t>(quantity)]; }

  private:
    Sensor sensor_;
    Measured truth_{};
};

}  // namespace holdfast::plant
