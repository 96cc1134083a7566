// The `input` request of control.sock: set-points from outside, checked whole before any is taken. Service
// thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/exchange.hpp"
#include "robot/config.hpp"

namespace holdfast::core {

class OperatorInputs {
  public:
    OperatorInputs(const RobotConfig& config, Exchange& exchange) : config_(config), exchange_(exchange) {}

    // {"values": {name: number}, "mono_ns": when the operator was seen to ask for them}. Returns the reply.
    // Hazard: a network that stands still and then delivers everything makes an old wish look new. So each
    // carries its time, and one that is too old, or of the future, is refused.
    [[nodiscard]] nlohmann::json take(const nlohmann::json& request, std::int64_t now_ns);
    // {name: {"value", "age_ms", "fresh"}}
    [[nodiscard]] nlohmann::json status(std::int64_t now_ns) const;

  private:
    [[nodiscard]] std::string refusal(const nlohmann::json& request, std::int64_t now_ns) const;
    [[nodiscard]] std::string refusal_of_value(const std::string& name, const nlohmann::json& value,
                                               std::int64_t age_ns) const;
    [[nodiscard]] const InputChannel* find(const std::string& name) const;

    const RobotConfig& config_;
    Exchange& exchange_;
    InputSamples samples_{};
};

}  // namespace holdfast::core
