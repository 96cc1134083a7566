#include "link/link.hpp"

#include "link/can_link.hpp"
#include "link/unix_link.hpp"

namespace holdfast {
namespace {

struct Url {
    std::string scheme;
    std::string place;
};

Expected<Url> split(std::string_view url) {
    const auto colon = url.find(':');
    if (colon != std::string_view::npos) {
        Url parts{std::string(url.substr(0, colon)), std::string(url.substr(colon + 1))};
        if ((parts.scheme == "can" || parts.scheme == "unix") && !parts.place.empty()) return parts;
    }
    return fail("link \"" + std::string(url) +
                "\": write can:INTERFACE (for example can:vcan0) or unix:PATH (unix:plant.sock)");
}

}  // namespace

Expected<std::unique_ptr<Link>> open_link(std::string_view url, std::string_view local_name,
                                          const std::filesystem::path& run_directory) {
    return split(url).and_then([&](const Url& parts) {
        if (parts.scheme == "can") return link::open_can(parts.place);
        return link::open_unix_client(run_directory / parts.place, std::string(local_name), run_directory);
    });
}

Expected<std::unique_ptr<Link>> open_drive_side(std::string_view url,
                                                const std::filesystem::path& run_directory) {
    return split(url).and_then([&](const Url& parts) {
        if (parts.scheme == "can") return link::open_can(parts.place);
        return link::open_unix_hub(run_directory / parts.place);
    });
}

}  // namespace holdfast
