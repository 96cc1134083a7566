// Preallocated queue from one thread to one other. A full ring drops the new entry and counts it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace holdfast {

template <typename T, std::size_t Capacity>
class Ring {
  public:
    // Producer. False: full, the entry is dropped and counted.
    bool push(const T& entry) {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (head - tail_.load(std::memory_order_acquire) == Capacity) {
            dropped_.fetch_add(1, std::memory_order_relaxed);
            return false;
        }
        entries_[head % Capacity] = entry;
        head_.store(head + 1, std::memory_order_release);
        return true;
    }
    // Consumer.
    [[nodiscard]] std::optional<T> pop() {
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        if (tail == head_.load(std::memory_order_acquire)) return std::nullopt;
        const T entry = entries_[tail % Capacity];
        tail_.store(tail + 1, std::memory_order_release);
        return entry;
    }
    [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  private:
    std::array<T, Capacity> entries_{};
    alignas(64) std::atomic<std::uint64_t> head_{0};
    alignas(64) std::atomic<std::uint64_t> tail_{0};
    std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace holdfast
