// How long each part of a cycle takes. One clock reading a part; nothing else.
#pragma once

#include <cstdint>

#include "core/histogram.hpp"

namespace holdfast::core {

class PhaseTimer {
  public:
    using Clock = std::int64_t (*)();
    explicit PhaseTimer(Clock clock) : clock_(clock) {}

    void begin(std::int64_t now_ns) { last_ns_ = now_ns; }
    // The time since the last call goes to `phase`.
    void end(shm::Histogram& phase) {
        const std::int64_t now_ns = clock_();
        record(phase, now_ns - last_ns_);
        last_ns_ = now_ns;
    }

  private:
    Clock clock_;
    std::int64_t last_ns_{0};
};

}  // namespace holdfast::core
