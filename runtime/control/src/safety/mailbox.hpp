// What the real-time loop and the other threads of the safety daemon tell each other: single words, no locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "safety/kernel.hpp"
#include "shm/segment.hpp"

namespace holdfast::safety {

using StateReader = shm::Reader<shm::StateSegment>;

// A latched stop in one word, so that number and cause are always of the same stop.
class LatchWord {
  public:
    LatchWord() = default;
    LatchWord(std::uint64_t sequence, StopCause cause)
        : word_(sequence << 8 | static_cast<std::uint64_t>(cause)) {}
    [[nodiscard]] std::uint64_t sequence() const { return word_ >> 8; }  // 0: not latched
    [[nodiscard]] StopCause cause() const { return static_cast<StopCause>(word_ & 0xFF); }
    [[nodiscard]] bool operator==(const LatchWord&) const = default;
    // Equal to no latch, nor to that there is none.
    [[nodiscard]] static LatchWord unknown() {
        LatchWord word;
        word.word_ = std::numeric_limits<std::uint64_t>::max();
        return word;
    }

  private:
    std::uint64_t word_{0};
};
static_assert(std::atomic<LatchWord>::is_always_lock_free);

// A temperature or pressure that could not be read.
inline constexpr std::int32_t kNotKnown = std::numeric_limits<std::int32_t>::min();

struct Mailbox {
    // To the loop. Counters only rise; the loop acts on each change.
    std::atomic<const StateReader*> core_sample{nullptr};
    std::atomic<bool> core_attached{false};
    std::atomic<std::uint64_t> core_losses{0};
    std::atomic<bool> worker_attached{false};
    std::atomic<std::uint64_t> worker_beats{0};
    std::atomic<std::uint64_t> worker_losses{0};
    std::atomic<bool> record_unreadable{false};
    std::atomic<LatchWord> recorded{LatchWord::unknown()};  // what is on the disk
    std::atomic<std::uint64_t> lost_stop{0};                // see Inputs
    std::atomic<std::uint64_t> operator_stops{0};
    std::atomic<std::uint64_t> resets{0};
    // Of the sampling thread; the counter is raised last.
    std::atomic<std::int32_t> temperature{kNotKnown};      // thousandths of a degree Celsius
    std::atomic<std::int32_t> memory_pressure{kNotKnown};  // hundredths of a percent
    std::atomic<std::uint64_t> health_samples{0};

    // From the loop. `periods` is stored last in each period.
    std::atomic<std::uint64_t> periods{0};
    std::atomic<std::uint64_t> operator_stops_taken{0};
    std::atomic<std::uint64_t> resets_decided{0};
    std::atomic<bool> reset_granted{false};                      // the last one
    std::atomic<StopCause> reset_refused_for{StopCause::kNone};  // kNone: the core has not heeded the stop
    std::atomic<LatchWord> latch{};
    std::atomic<std::uint64_t> last_sequence{0};
    std::atomic<StopCause> standing{StopCause::kNone};
    std::atomic<bool> arm_permitted{false};
    std::atomic<bool> core_armed{false};
    std::atomic<bool> enable{false};           // what the enable line was told
    std::atomic<std::uint32_t> warnings{0};    // bit n: StopCause n is present and only warned of
    std::atomic<std::uint32_t> estop_open{0};  // bit n: contact n is open
    std::atomic<bool> estop_readable{true};
    std::atomic<std::int64_t> core_beat_ns{0};  // 0: never
    std::atomic<std::int64_t> worker_beat_ns{0};
    std::atomic<std::uint64_t> stop_frames_sent{0};
    std::atomic<std::uint64_t> stop_frames_failed{0};    // the link did not take them
    std::atomic<std::uint64_t> stop_frames_withheld{0};  // position of a position channel never known
};

}  // namespace holdfast::safety
