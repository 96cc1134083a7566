// Absolute-time schedule: sleeps until the next multiple of the period; after an overrun it skips, never
// bursts.
#pragma once

#include <cstdint>

namespace holdfast {

struct Wake {
    std::int64_t scheduled_ns{};
    std::int64_t woke_ns{};
    std::uint64_t skipped{};  // periods that passed while the last cycle was still at work
};

// The arithmetic of Periodic, without a clock: wakes are due at start + k * period, for ever.
class Schedule {
  public:
    struct Due {
        std::int64_t at_ns{};
        std::uint64_t skipped{};
    };
    Schedule(std::int64_t period_ns, std::int64_t start_ns)
        : period_ns_(period_ns), next_ns_(start_ns + period_ns) {}
    // The first wake that is not yet past at `now_ns`, and how many were skipped to reach it.
    [[nodiscard]] Due next(std::int64_t now_ns);

    // Wakes are due at slot_ns + k * period: schedules of several processes keep their distance for ever.
    [[nodiscard]] static Schedule on_grid(std::int64_t period_ns, std::int64_t slot_ns, std::int64_t now_ns);

  private:
    std::int64_t period_ns_;
    std::int64_t next_ns_;
};

class Periodic {
  public:
    explicit Periodic(std::int64_t period_ns);
    // At `slot_ns` after the multiples of the period on CLOCK_MONOTONIC (rt/slots.hpp).
    Periodic(std::int64_t period_ns, std::int64_t slot_ns);
    // Blocks until the next period. The phase is kept for ever.
    [[nodiscard]] Wake wait();

  private:
    Schedule schedule_;
};

}  // namespace holdfast
