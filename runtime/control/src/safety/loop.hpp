// One period of the safety daemon: look, decide, raise the flag, stop the drives. Real-time thread only: no
// lock, allocation or wait; the system calls are those of the link and, when the latch changes, one write to
// an eventfd.
#pragma once

#include <cstdint>

#include "ipc/file_descriptor.hpp"
#include "safety/kernel.hpp"
#include "safety/mailbox.hpp"
#include "safety/stop_frames.hpp"
#include "shm/segment.hpp"

namespace holdfast::safety {

class Loop {
  public:
    // `latch_event` is written to whenever the latch changes.
    Loop(const KernelConfig& config, const State& state, shm::Writer<shm::SafetySegment>& segment,
         StopFrames& frames, Mailbox& mailbox, int latch_event)
        : config_(config),
          state_(state),
          segment_(segment),
          frames_(frames),
          mailbox_(mailbox),
          latch_event_(latch_event) {}

    void cycle(std::int64_t now_ns);

  private:
    // The last value of each counter of the mailbox.
    struct Seen {
        std::uint64_t core_losses, worker_losses, worker_beats, operator_stops, resets;
    };

    [[nodiscard]] Inputs observe(std::int64_t now_ns, Seen& seen);
    [[nodiscard]] bool read_core();
    void publish(const Outputs& outputs, std::int64_t now_ns);
    void stop_or_follow(const Outputs& outputs, std::int64_t now_ns);
    void report(const Inputs& inputs, const Outputs& outputs, const Seen& seen);

    KernelConfig config_;
    State state_;
    shm::Writer<shm::SafetySegment>& segment_;
    StopFrames& frames_;
    Mailbox& mailbox_;
    int latch_event_;

    Seen seen_{};
    const StateReader* reader_{nullptr};
    shm::StateData core_{};  // the last sample; zero: none of this core
    bool core_sampled_{false};
    std::uint64_t beat_{0};
    std::int64_t last_ns_{0};
    bool latch_published_{false};
};

}  // namespace holdfast::safety
