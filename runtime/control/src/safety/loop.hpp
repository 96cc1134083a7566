// One period of the safety daemon: look, decide, raise the flag, stop the drives. Real-time thread only: no
// lock, allocation or wait; the system calls are those of the link, those of the lines (ioctl and read of
// each contact, ioctl of the enable line) and, when the latch changes, one write to an eventfd.
#pragma once

#include <cstdint>

#include "ipc/file_descriptor.hpp"
#include "safety/evidence_ring.hpp"
#include "safety/kernel.hpp"
#include "safety/lines.hpp"
#include "safety/mailbox.hpp"
#include "safety/stop_frames.hpp"
#include "shm/segment.hpp"

namespace holdfast::safety {

class Loop {
  public:
    struct Outside {
        Lines& lines;
        bool enable_pulses;      // the enable line toggles each period in place of staying high
        EvidenceRing* evidence;  // null: no record is kept
    };

    // `latch_event` is written to whenever the latch changes.
    Loop(const KernelConfig& config, const State& state, shm::Writer<shm::SafetySegment>& segment,
         StopFrames& frames, Mailbox& mailbox, int latch_event, Outside outside)
        : config_(config),
          state_(state),
          segment_(segment),
          frames_(frames),
          mailbox_(mailbox),
          latch_event_(latch_event),
          outside_(outside) {}

    void cycle(std::int64_t now_ns);

  private:
    // The last value of each counter of the mailbox.
    struct Seen {
        std::uint64_t core_losses, worker_losses, worker_beats, operator_stops, resets, lost_stop,
            health_samples;
    };

    struct CoreCounters {
        std::uint64_t boot_id, overruns, drive_errors;
    };

    [[nodiscard]] Inputs observe(std::int64_t now_ns, Seen& seen);
    [[nodiscard]] bool read_core();
    void observe_health(Inputs& inputs, const Seen& seen) const;
    void observe_core_counters(Inputs& inputs);
    void set_enable(bool enable);
    void publish(const Outputs& outputs, std::int64_t now_ns);
    void stop_or_follow(const Outputs& outputs, std::int64_t now_ns);
    void report(const Inputs& inputs, const Outputs& outputs, const Seen& seen);
    void record(const Inputs& inputs, const Outputs& outputs);
    void record_core();

    KernelConfig config_;
    State state_;
    shm::Writer<shm::SafetySegment>& segment_;
    StopFrames& frames_;
    Mailbox& mailbox_;
    int latch_event_;
    Outside outside_;

    Seen seen_{};
    const StateReader* reader_{nullptr};
    shm::StateData core_{};  // the last sample; zero: none of this core
    bool core_sampled_{false};
    std::uint64_t beat_{0};
    std::int64_t last_ns_{0};
    bool latch_published_{false};
    CoreCounters core_counters_{};
    bool enable_level_{false};
    bool enable_failed_{false};
    bool sent_stop_frames_{false};
    EvidenceEntry entry_{};
    std::int64_t work_ns_{0};
};

}  // namespace holdfast::safety
