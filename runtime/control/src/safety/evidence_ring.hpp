// What the loop saw and did in its last periods: a ring in shared memory, one entry a period. It is a file
// below the run directory (memory, not disk), so that it outlives this process: the successor finds what led
// to a stop. The loop writes and never waits; another thread copies. Format of the files: docs/reference.md.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "error.hpp"
#include "shm/layout.hpp"

namespace holdfast::safety {

// Bits of EvidenceEntry::flags.
enum class EvidenceFlag : std::uint32_t {
    kCoreAttached = 0,
    kCoreBeat = 1,
    kCoreLost = 2,
    kCoreArmed = 3,
    kWorkerAttached = 4,
    kWorkerBeat = 5,
    kWorkerLost = 6,
    kRecordUnreadable = 7,
    kOperatorStop = 8,
    kReset = 9,
    kEstopUnreadable = 10,
    kEstopOpen1 = 11,
    kEstopOpen2 = 12,
    kEnableLineFailed = 13,
    kDriveFault = 14,
    kHealthSample = 15,
    kArmPermitted = 16,
    kEnable = 17,
    kStopFrames = 18,  // the daemon sent its own
    kStopTaken = 19,   // the stop was latched in this period
};
inline constexpr EvidenceFlag kLastEvidenceFlag = EvidenceFlag::kStopTaken;
[[nodiscard]] constexpr std::uint32_t bit(EvidenceFlag flag) {
    return 1u << static_cast<std::uint32_t>(flag);
}

// Fields of the core are those of its latest sample, which may be the same as in the entry before.
struct EvidenceEntry {
    std::uint64_t number;  // counts entries; 0: never written
    std::int64_t mono_ns;  // of this period of the daemon
    std::int64_t work_ns;  // that the period before took
    std::uint64_t latch_sequence;
    std::uint32_t cause;           // StopCause of the latch
    std::uint32_t standing;        // StopCause that is present now
    std::uint32_t warnings;        // bit n: StopCause n is present and only warned of
    std::uint32_t flags;           // bit n: EvidenceFlag n
    std::int32_t temperature;      // thousandths of a degree Celsius
    std::int32_t memory_pressure;  // hundredths of a percent
    std::uint64_t core_cycle;
    std::int64_t core_mono_ns;
    std::int64_t core_wake_latency_ns;
    std::int64_t core_cycle_time_ns;  // of its cycle before
    std::uint32_t core_mode;
    std::uint32_t controller_fault;
    std::uint64_t core_overruns;
    std::uint64_t core_skipped_cycles;
    std::uint64_t core_latch_seen;
    std::array<double, kMaxStateChannels> state;
    std::array<std::int64_t, kMaxStateChannels> state_mono_ns;
    std::array<double, kMaxCommandChannels> requested;
    std::array<double, kMaxCommandChannels> sent;
};

// At 1 kHz 8 s, at the highest rate (2 kHz) 4 s; a record needs 2.5 s.
inline constexpr std::size_t kEvidenceEntries = 8192;

struct EvidenceMemory {
    shm::Header header;
    alignas(64) std::atomic<std::uint64_t> last;  // number of the newest entry
    std::array<EvidenceEntry, kEvidenceEntries> entries;
};

class EvidenceRing {
  public:
    // Takes over the ring of a daemon that went before, if it is one of this version.
    [[nodiscard]] static Expected<EvidenceRing> open(const std::filesystem::path& file);
    EvidenceRing(EvidenceRing&& other) noexcept;
    EvidenceRing& operator=(EvidenceRing&&) = delete;
    EvidenceRing(const EvidenceRing&) = delete;
    EvidenceRing& operator=(const EvidenceRing&) = delete;
    ~EvidenceRing();

    // Numbers the entry. Real-time loop only.
    void push(EvidenceEntry& entry);
    // Any thread.
    [[nodiscard]] std::uint64_t last() const { return memory_->last.load(std::memory_order_acquire); }
    // Empty: not written yet, or overwritten meanwhile.
    [[nodiscard]] std::optional<EvidenceEntry> entry(std::uint64_t number) const;

  private:
    explicit EvidenceRing(EvidenceMemory* memory) : memory_(memory) {}
    EvidenceMemory* memory_;
};

}  // namespace holdfast::safety
