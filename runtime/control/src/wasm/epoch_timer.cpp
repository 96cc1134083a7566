#include "wasm/epoch_timer.hpp"

#include <chrono>

namespace holdfast::wasm {

EpochTimer::EpochTimer(std::shared_ptr<Engine> engine)
    : thread_([engine = std::move(engine)](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
              engine->increment_epoch();
          }
      }) {}

}  // namespace holdfast::wasm
