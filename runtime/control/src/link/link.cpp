#include "link/link.hpp"

#include "link/can_link.hpp"
#include "link/serial_link.hpp"
#include "link/unix_link.hpp"
#include "robot/link_url.hpp"

namespace holdfast {
namespace {

Expected<LinkUrl> parse(std::string_view url) {
    if (auto parts = parse_link_url(url)) return *std::move(parts);
    // Opening it says what is wrong with the name.
    if (url.starts_with("can:") && url.size() > 4)
        return LinkUrl{LinkScheme::kCan, std::string(url.substr(4)), 0};
    return fail("link \"" + std::string(url) + "\": is not a link; " + kLinkForms);
}

}  // namespace

Expected<std::unique_ptr<Link>> open_link(std::string_view url, std::string_view local_name,
                                          const std::filesystem::path& run_directory) {
    return parse(url).and_then([&](const LinkUrl& parts) -> Expected<std::unique_ptr<Link>> {
        switch (parts.scheme) {
            case LinkScheme::kCan:
                return link::open_can(parts.place);
            case LinkScheme::kSerial:
                return link::open_serial(
                    run_directory / parts.place, parts.baud,
                    local_name == "core" ? link::SerialUse::kSendAndReceive : link::SerialUse::kSendOnly);
            case LinkScheme::kUnix:
                break;
        }
        return link::open_unix_client(run_directory / parts.place, std::string(local_name), run_directory);
    });
}

Expected<std::unique_ptr<Link>> open_drive_side(std::string_view url,
                                                const std::filesystem::path& run_directory) {
    return parse(url).and_then([&](const LinkUrl& parts) -> Expected<std::unique_ptr<Link>> {
        switch (parts.scheme) {
            case LinkScheme::kCan:
                return link::open_can(parts.place);
            case LinkScheme::kSerial:
                return link::open_serial_drive_side(run_directory / parts.place, parts.baud);
            case LinkScheme::kUnix:
                break;
        }
        return link::open_unix_hub(run_directory / parts.place);
    });
}

}  // namespace holdfast
