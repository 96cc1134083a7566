#include "core/safety_view.hpp"

namespace holdfast::core {

using shm::Counter;

void SafetyView::read(const shm::Reader<shm::SafetySegment>* segment, Counters& counters) {
    const std::uint64_t beat = data_.beat;
    if (segment != nullptr) {
        latch_ = segment->segment().stop.load(std::memory_order_acquire);
        if (!segment->read(data_)) counters.add(Counter::kSeqlockRetriesExhausted);
    }
    // Two 1 kHz threads out of phase may meet the same beat twice: one repetition is not a miss.
    silent_cycles_ = segment != nullptr && data_.beat != beat ? 0 : silent_cycles_ + 1;
    if (silent_cycles_ > 1) counters.add(Counter::kSafetyBeatMissed);
}

std::int64_t SafetyView::latch_mono_ns() const {
    return data_.latch_sequence == latch_ ? data_.latch_mono_ns : 0;
}

}  // namespace holdfast::core
