#include "robot/link_url.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace holdfast {
namespace {

constexpr std::size_t kMaxInterfaceLength = 15;  // IFNAMSIZ without its zero
constexpr std::string_view kBaudKey = "?baud=";
// What Linux knows as B<rate>, from the slowest that a drive is of use with.
constexpr std::array<std::uint32_t, 12> kBaudRates{57'600,    115'200,   230'400,   460'800,
                                                   500'000,   921'600,   1'000'000, 1'500'000,
                                                   2'000'000, 2'500'000, 3'000'000, 4'000'000};

std::optional<LinkUrl> parse_can(std::string_view name) {
    if (name.empty() || name.size() > kMaxInterfaceLength || name.find('/') != name.npos) return std::nullopt;
    return LinkUrl{LinkScheme::kCan, std::string(name), 0};
}

std::optional<LinkUrl> parse_serial(std::string_view rest) {
    const std::size_t question = rest.find('?');
    if (question == 0 || question == rest.npos || !rest.substr(question).starts_with(kBaudKey))
        return std::nullopt;
    const std::string_view digits = rest.substr(question + kBaudKey.size());
    std::uint32_t baud = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), baud);
    const bool whole =
        error == std::errc() && end == digits.data() + digits.size() && !digits.starts_with('0');
    if (!whole || std::find(kBaudRates.begin(), kBaudRates.end(), baud) == kBaudRates.end())
        return std::nullopt;
    return LinkUrl{LinkScheme::kSerial, std::string(rest.substr(0, question)), baud};
}

}  // namespace

std::optional<LinkUrl> parse_link_url(std::string_view url) {
    if (url.starts_with("can:")) return parse_can(url.substr(4));
    if (url.starts_with("serial:")) return parse_serial(url.substr(7));
    if (url.starts_with("unix:") && url.size() > 5)
        return LinkUrl{LinkScheme::kUnix, std::string(url.substr(5)), 0};
    return std::nullopt;
}

}  // namespace holdfast
