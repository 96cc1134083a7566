// `can:NAME`: SocketCAN, one raw socket. It stays bound while its interface goes down and comes up again. A
// controller that went off the bus is restarted by the kernel if its interface has `restart-ms`; nothing here
// restarts it.
#pragma once

#include <memory>
#include <string>

#include "ipc/file_descriptor.hpp"
#include "link/link.hpp"

namespace holdfast::link {

[[nodiscard]] Expected<std::unique_ptr<Link>> open_can(const std::string& interface);
// Over a socket that gives and takes struct can_frame: a raw CAN socket, or a socket pair in a test.
[[nodiscard]] std::unique_ptr<Link> make_can_link(FileDescriptor socket);

}  // namespace holdfast::link
