// Keeps the output of a canary near that of the active controller. Controller thread; no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "core/exchange.hpp"
#include "robot/config.hpp"
#include "wasm/controller.hpp"

namespace holdfast::core {

class Canary {
  public:
    explicit Canary(const RobotConfig& config) : config_(config) {}

    void begin();
    // Each tick of the active controller: remembers what it set last, which is what an unset position holds.
    void follow(const Setpoint& active);
    // Replaces the active controller's values by the candidate's, held within `canary_deviation` of the
    // channel's range. Returns how many had to be held back.
    [[nodiscard]] std::uint64_t blend(const wasm::TickOutput& candidate, Setpoint& setpoint);

  private:
    // A value, or nothing: a position that nobody has set yet holds where it is.
    struct Wish {
        bool set{};
        double value{};
    };
    [[nodiscard]] Wish active_wish(std::size_t channel, const Setpoint& active) const;
    [[nodiscard]] Wish candidate_wish(std::size_t channel, const wasm::TickOutput& candidate) const;

    const RobotConfig& config_;
    std::array<Wish, kMaxCommandChannels> active_last_{};
    std::array<Wish, kMaxCommandChannels> sent_last_{};
};

}  // namespace holdfast::core
