#pragma once

#include <algorithm>
#include <cstdint>

#include "shm/layout.hpp"

namespace holdfast::core {

// Adds one duration. Wait-free; one thread writes a histogram.
inline void record(shm::Histogram& histogram, std::int64_t duration_ns) {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration_ns, 0));
    auto& bin = histogram.bins[std::min<std::size_t>(ns / 1000, shm::kHistogramBins - 1)];
    bin.store(bin.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    histogram.count.store(histogram.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (ns > histogram.max_ns.load(std::memory_order_relaxed))
        histogram.max_ns.store(ns, std::memory_order_relaxed);
}

}  // namespace holdfast::core
