// Rule 7: N overruns within M periods are too many.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace holdfast::core {

class OverrunLadder {
  public:
    OverrunLadder(std::uint32_t limit, std::uint32_t window) : last_(limit, kNever), window_(window) {}
    // Notes an overrun in `period`. True: it is the limit-th within the window. Allocates nothing.
    [[nodiscard]] bool overrun(std::uint64_t period) {
        last_[next_] = period;
        next_ = (next_ + 1) % last_.size();
        const std::uint64_t oldest = last_[next_];
        return oldest != kNever && period - oldest < window_;
    }

    void clear() { std::fill(last_.begin(), last_.end(), kNever); }

  private:
    static constexpr std::uint64_t kNever = UINT64_MAX;
    std::vector<std::uint64_t> last_;
    std::size_t next_{0};
    std::uint64_t window_;
};

}  // namespace holdfast::core
