// What the error frames of a CAN controller say (linux/can/error.h) about the state of its link.
#pragma once

#include <linux/can.h>

#include "link/link.hpp"

namespace holdfast::link {

class CanHealth {
  public:
    void take_error_frame(const can_frame& raw);
    // A controller that takes part in traffic is neither off the bus nor down.
    void take_data_frame();
    // send() or recv() failed with this errno.
    void take_errno(int error);
    // The kernel took a frame: the interface is up. It says nothing about the bus.
    void take_sent();
    [[nodiscard]] const LinkHealth& health() const { return health_; }

  private:
    void take_controller_state(std::uint8_t bits);
    void update();

    LinkHealth health_;
    bool bus_off_{false};
    bool down_{false};
};

}  // namespace holdfast::link
