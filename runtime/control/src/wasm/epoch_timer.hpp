// Advances an engine's epoch where there is no Tier-1 thread to do it: in holdfast-verify, in tests, on the
// bench.
#pragma once

#include <memory>
#include <thread>

#include "wasm/controller.hpp"

namespace holdfast::wasm {

// One increment each millisecond while it lives, and never two closer together: a late one shortens no
// deadline.
class EpochTimer {
  public:
    explicit EpochTimer(std::shared_ptr<Engine> engine);

  private:
    std::jthread thread_;
};

}  // namespace holdfast::wasm
