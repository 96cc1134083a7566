// One [[coupling]] along the stopping paths of its channels. Real-time threads; pure.
#pragma once

#include <array>
#include <span>

#include "robot/config.hpp"
#include "shield/path.hpp"

namespace holdfast {

class CouplingRule {
  public:
    explicit CouplingRule(const Coupling& coupling);

    // How far the sum is outside its limits; 0: it is not. `paths` holds one a command channel.
    [[nodiscard]] double excess_at_start(std::span<const Path> paths) const;
    [[nodiscard]] double excess_at_end(std::span<const Path> paths) const;
    [[nodiscard]] double worst_excess(std::span<const Path> paths) const;
    [[nodiscard]] std::span<const std::size_t> channels() const { return {channels_.data(), count_}; }

  private:
    [[nodiscard]] Value sum_at(std::span<const Path> paths, double time_s) const;
    [[nodiscard]] double excess(double value) const;
    [[nodiscard]] double worst_between(std::span<const Path> paths, double begin_s, double end_s) const;

    std::array<std::size_t, kMaxCoupledChannels> channels_{};
    std::array<double, kMaxCoupledChannels> factors_{};
    std::size_t count_{};
    Range limits_;
};

}  // namespace holdfast
