#pragma once

#include <array>
#include <ctime>
#include <string>

namespace holdfast::safety {

// The time of day for a person, ISO 8601.
[[nodiscard]] inline std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 32> text{};
    const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return {text.data(), size};
}

}  // namespace holdfast::safety
