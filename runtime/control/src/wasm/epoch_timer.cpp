#include "wasm/epoch_timer.hpp"

#include "rt/periodic.hpp"

namespace holdfast::wasm {
namespace {

constexpr std::int64_t kEpochNs = 1'000'000;

}  // namespace

EpochTimer::EpochTimer(std::shared_ptr<Engine> engine)
    : thread_([engine = std::move(engine)](const std::stop_token& stop) {
          Periodic period(kEpochNs);
          while (!stop.stop_requested()) {
              (void)period.wait();
              engine->increment_epoch();
          }
      }) {}

}  // namespace holdfast::wasm
