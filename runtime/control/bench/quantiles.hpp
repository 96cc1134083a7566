// What a benchmark prints of its samples; nanoseconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace holdfast::bench {

inline nlohmann::json quantiles(std::vector<std::int64_t> samples) {
    std::ranges::sort(samples);
    const auto at = [&](double fraction) {
        const auto index = static_cast<std::size_t>(fraction * static_cast<double>(samples.size() - 1));
        return samples[index];
    };
    return {{"p50", at(0.5)}, {"p99", at(0.99)}, {"p99_9", at(0.999)}, {"max", samples.back()}};
}

}  // namespace holdfast::bench
