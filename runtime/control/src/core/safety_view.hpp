// The safety daemon as Tier-1 sees it, each cycle.
#pragma once

#include <cstdint>

#include "core/exchange.hpp"

namespace holdfast::core {

class SafetyView {
  public:
    // Without a fresh heartbeat for `silence` cycles, and before the first one, the daemon is silent.
    explicit SafetyView(std::uint32_t silence) : silence_(silence), silent_cycles_(silence) {}

    // Reads the stop flag first. Tier-1 thread.
    void read(const shm::Reader<shm::SafetySegment>* segment, Counters& counters);

    // Number of the latched stop; 0: none. It keeps standing when the daemon dies.
    [[nodiscard]] std::uint64_t latch() const { return latch_; }
    [[nodiscard]] bool silent() const { return silent_cycles_ >= silence_; }
    [[nodiscard]] bool arm_permitted() const { return data_.arm_permitted == 1; }
    [[nodiscard]] shm::StopCause cause() const { return data_.cause; }
    // When the latched stop was set; 0: not known (yet).
    [[nodiscard]] std::int64_t latch_mono_ns() const;

  private:
    shm::SafetyData data_{};
    std::uint64_t latch_{0};
    std::uint64_t silence_;
    std::uint64_t silent_cycles_;
};

}  // namespace holdfast::core
