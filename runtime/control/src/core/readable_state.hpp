// What a controller reads with state.get: the state channels, then the inputs (rule 6: NaN where one is too
// old). Controller thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/exchange.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

class ReadableState {
  public:
    explicit ReadableState(const RobotConfig& config) : config_(config) {}

    // Valid until the next call. Counts every input that is too old.
    [[nodiscard]] std::span<const double> of(const StateSnapshot& snapshot, const InputSamples& inputs,
                                             std::int64_t now_ns, Counters& counters);

  private:
    const RobotConfig& config_;
    std::array<double, kMaxStateChannels + kMaxInputChannels> values_{};
};

}  // namespace holdfast::core
