#include "link/can_health.hpp"

#include <linux/can/error.h>

#include <cerrno>

namespace holdfast::link {

void CanHealth::take_error_frame(const can_frame& raw) {
    if ((raw.can_id & CAN_ERR_RESTARTED) != 0) {
        ++health_.restarts;
        bus_off_ = false;
        health_.error_passive = false;
    }
    if ((raw.can_id & CAN_ERR_BUSOFF) != 0 && !bus_off_) {
        ++health_.bus_off;
        bus_off_ = true;
    }
    if ((raw.can_id & CAN_ERR_ACK) != 0) ++health_.ack_errors;
    if ((raw.can_id & CAN_ERR_CRTL) != 0) take_controller_state(raw.data[1]);
    update();
}

void CanHealth::take_controller_state(std::uint8_t bits) {
    if ((bits & (CAN_ERR_CRTL_RX_OVERFLOW | CAN_ERR_CRTL_TX_OVERFLOW)) != 0) ++health_.overflows;
    const bool passive = (bits & (CAN_ERR_CRTL_RX_PASSIVE | CAN_ERR_CRTL_TX_PASSIVE)) != 0;
    const bool better =
        (bits & (CAN_ERR_CRTL_ACTIVE | CAN_ERR_CRTL_RX_WARNING | CAN_ERR_CRTL_TX_WARNING)) != 0;
    if (passive && !health_.error_passive) ++health_.passive_episodes;
    if (passive || better) health_.error_passive = passive;
}

void CanHealth::take_data_frame() {
    bus_off_ = false;
    down_ = false;
    update();
}

void CanHealth::take_errno(int error) {
    if (error != ENETDOWN && error != ENODEV && error != ENXIO) return;
    if (!down_) ++health_.downs;
    down_ = true;
    update();
}

void CanHealth::take_sent() {
    down_ = false;
    update();
}

void CanHealth::update() { health_.usable = !bus_off_ && !down_; }

}  // namespace holdfast::link
