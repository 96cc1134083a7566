// The 16 bytes of struct can_frame, which both kinds of link carry.
#pragma once

#include <linux/can.h>

#include <cstddef>
#include <optional>

#include "link/link.hpp"

namespace holdfast::link {

[[nodiscard]] can_frame to_wire(const CanFrame& frame);
// Empty if it is no standard data frame: wrong length, error, remote or extended frame, more than 8 bytes of
// data.
[[nodiscard]] std::optional<CanFrame> from_wire(const can_frame& raw, std::size_t received_bytes);

}  // namespace holdfast::link
