// Puts what the real-time threads recorded into words. Service thread only.
#pragma once

#include <string>

#include "core/controller_store.hpp"
#include "core/exchange.hpp"

namespace holdfast::core {

class EventLog {
  public:
    EventLog(const RobotConfig& config, Exchange& exchange, const ControllerStore& store)
        : config_(config), exchange_(exchange), store_(store) {}

    // Logs all waiting events.
    void drain();
    // The two below log what waits first: what happened is noted before any state tells of it, and whoever
    // asks has read the state.
    // Why the controller of that load failed; empty if it did not.
    [[nodiscard]] const std::string& fault_message(std::uint64_t generation);
    // Why the robot stopped in a controlled way since it was armed last; empty if it did not.
    [[nodiscard]] const std::string& stop_message();

  private:
    void write(const Event& event);
    [[nodiscard]] std::string stop_text(const Event& event) const;
    [[nodiscard]] std::string fault_text(const Event& event) const;
    [[nodiscard]] std::string drive_name(std::int32_t drive) const;
    void report_dropped();

    const RobotConfig& config_;
    Exchange& exchange_;
    const ControllerStore& store_;
    std::uint64_t faulted_generation_{0};
    std::string fault_message_;
    std::string stop_message_;
    std::uint64_t dropped_{0};
};

}  // namespace holdfast::core
