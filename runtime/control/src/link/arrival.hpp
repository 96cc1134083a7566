// When the frames that a link gives now have arrived. A queue does not say; what waited in it while nobody
// listened looks as if it was measured just now. Real-time threads; no clock.
#pragma once

#include <cstdint>

namespace holdfast {

// A loop that comes back to a link after more of its periods than this was away.
inline constexpr std::int64_t kMaxPeriodsListened = 2;

class Arrival {
  public:
    // `period_ns`: of the loop that empties the link's queue.
    explicit Arrival(std::int64_t period_ns) : longest_ns_(kMaxPeriodsListened * period_ns) {}

    // The earliest time at which what the queue holds can have arrived; `now_ns` unless the loop was away.
    // 0, which is no time: before anybody listened.
    [[nodiscard]] std::int64_t earliest(std::int64_t now_ns) const {
        return now_ns - emptied_ns_ > longest_ns_ ? emptied_ns_ : now_ns;
    }
    // The queue was found empty.
    void emptied(std::int64_t now_ns) { emptied_ns_ = now_ns; }

  private:
    std::int64_t longest_ns_;
    std::int64_t emptied_ns_{0};
};

}  // namespace holdfast
