// `can:NAME`: SocketCAN, one raw socket.
#pragma once

#include <memory>
#include <string>

#include "link/link.hpp"

namespace holdfast::link {

[[nodiscard]] Expected<std::unique_ptr<Link>> open_can(const std::string& interface);

}  // namespace holdfast::link
