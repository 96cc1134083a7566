// Absolute-time schedule: sleeps until the next multiple of the period; after an overrun it skips, never bursts.
#pragma once

#include <cstdint>

namespace holdfast {

struct Wake {
    std::int64_t scheduled_ns{};
    std::int64_t woke_ns{};
    std::uint64_t skipped{};  // periods that passed while the last cycle was still at work
};

class Periodic {
  public:
    explicit Periodic(std::int64_t period_ns);
    // Blocks until the next period. The phase is kept for ever.
    [[nodiscard]] Wake wait();

  private:
    std::int64_t period_ns_;
    std::int64_t next_ns_;
};

}  // namespace holdfast
