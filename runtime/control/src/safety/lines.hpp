// The wires of the safety daemon: two contacts of the e-stop in, one enable line out. Real-time loop only.
#pragma once

#include "safety/kernel.hpp"

namespace holdfast::safety {

class Lines {
  public:
    virtual ~Lines() = default;
    // Never blocks or allocates. A contact that opened since the last call, however shortly, is open.
    [[nodiscard]] virtual EstopReading read_estop() = 0;
    // False: the line did not take it.
    [[nodiscard]] virtual bool set_enable(bool high) = 0;
};

// A robot without wires.
class NoLines final : public Lines {
  public:
    [[nodiscard]] EstopReading read_estop() override { return {}; }
    [[nodiscard]] bool set_enable(bool) override { return true; }
};

}  // namespace holdfast::safety
