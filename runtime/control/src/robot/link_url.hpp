// The URL of a link: "can:can0", "serial:/dev/ttyUSB0?baud=921600", "unix:plant.sock".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast {

enum class LinkScheme : std::uint8_t { kCan, kSerial, kUnix };

struct LinkUrl {
    LinkScheme scheme{};
    std::string place;     // interface, device or socket
    std::uint32_t baud{};  // serial: only
};

inline constexpr const char* kLinkForms =
    "write \"can:NAME\", \"serial:DEVICE?baud=921600\" or \"unix:PATH\"";

// Empty: not a link, or a baud rate that no serial port has.
[[nodiscard]] std::optional<LinkUrl> parse_link_url(std::string_view url);

}  // namespace holdfast
