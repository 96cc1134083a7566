// The thread that must not stop, and what it leaves behind when it is told to.
#pragma once

#include <cstdint>
#include <future>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rt/clock.hpp"
#include "rt/periodic.hpp"
#include "rt/realtime.hpp"
#include "rt/slots.hpp"
#include "safety/lines.hpp"

namespace holdfast::safety {

// It is real-time, as far as it is allowed to, before its first period.
class LoopThread {
  public:
    // `make_loop(realtime)` runs in the new thread; what it makes cycles once a period. `lines` are those the
    // loop sets.
    template <typename MakeLoop>
    LoopThread(std::int64_t period_ns, int priority, Lines& lines, MakeLoop make_loop) {
        std::promise<std::vector<std::string>> shortfalls;
        auto known = shortfalls.get_future();
        thread_ = std::jthread([period_ns, priority, &lines, make_loop,
                                shortfalls = std::move(shortfalls)](const std::stop_token& stopping) mutable {
            auto missing = make_thread_realtime(priority, -1);
            auto loop = make_loop(missing.empty());
            shortfalls.set_value(std::move(missing));
            Periodic periodic(period_ns, safety_slot_ns(period_ns));
            while (!stopping.stop_requested()) {
                static_cast<void>(periodic.wait());
                loop.cycle(monotonic_ns());
            }
            // Hazard: drives with power that nobody watches. The rest of this process takes its time to end:
            // a disk that hangs keeps it for ever.
            static_cast<void>(lines.set_enable(false));
        });
        shortfalls_ = known.get();
    }
    [[nodiscard]] const std::vector<std::string>& shortfalls() const { return shortfalls_; }

  private:
    std::vector<std::string> shortfalls_;
    std::jthread thread_;
};

}  // namespace holdfast::safety
