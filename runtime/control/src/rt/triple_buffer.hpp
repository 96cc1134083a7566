// The newest value from one thread to one other: neither ever waits, and no value is ever torn.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace holdfast {

template <typename T>
class TripleBuffer {
  public:
    // Writer: fill it completely, then publish().
    [[nodiscard]] T& writable() { return slots_[back_]; }
    void publish() { back_ = middle_.exchange(back_ | kNew, std::memory_order_acq_rel) & kIndex; }
    // Reader: stays valid and unchanged until its next call.
    [[nodiscard]] const T& latest() {
        if ((middle_.load(std::memory_order_relaxed) & kNew) != 0) {
            front_ = middle_.exchange(front_, std::memory_order_acq_rel) & kIndex;
        }
        return slots_[front_];
    }

  private:
    static constexpr std::uint32_t kNew = 4;
    static constexpr std::uint32_t kIndex = 3;
    std::array<T, 3> slots_{};
    alignas(64) std::uint32_t back_{0};
    alignas(64) std::atomic<std::uint32_t> middle_{1};
    alignas(64) std::uint32_t front_{2};
};

}  // namespace holdfast
