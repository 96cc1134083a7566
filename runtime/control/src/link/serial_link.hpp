// `serial:DEVICE?baud=RATE`: CAN frames on a serial line, to a bridge that has the bus on its other side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "link/link.hpp"

namespace holdfast::link {

// A serial line gives each byte to one reader: a process that shares it only sends.
enum class SerialUse : std::uint8_t { kSendAndReceive, kSendOnly };

[[nodiscard]] Expected<std::unique_ptr<Link>> open_serial(const std::filesystem::path& device,
                                                          std::uint32_t baud, SerialUse use);
// The far end of the line. Where there is no such device, `device` becomes the name of a new pseudo-terminal.
[[nodiscard]] Expected<std::unique_ptr<Link>> open_serial_drive_side(const std::filesystem::path& device,
                                                                     std::uint32_t baud);

}  // namespace holdfast::link
