#include "link/wire.hpp"

#include <algorithm>

namespace holdfast::link {

can_frame to_wire(const CanFrame& frame) {
    can_frame raw{};
    raw.can_id = frame.id & CAN_SFF_MASK;
    raw.can_dlc = std::min<std::uint8_t>(frame.size, CAN_MAX_DLEN);
    std::copy_n(frame.data.begin(), raw.can_dlc, raw.data);
    return raw;
}

std::optional<CanFrame> from_wire(const can_frame& raw, std::size_t received_bytes) {
    if (received_bytes != sizeof(can_frame)) return std::nullopt;
    if ((raw.can_id & (CAN_ERR_FLAG | CAN_RTR_FLAG | CAN_EFF_FLAG)) != 0) return std::nullopt;
    if (raw.can_id > kMaxCanId || raw.can_dlc > CAN_MAX_DLEN) return std::nullopt;
    CanFrame frame{.id = raw.can_id, .size = raw.can_dlc};
    std::copy_n(raw.data, raw.can_dlc, frame.data.begin());
    return frame;
}

}  // namespace holdfast::link
