// The two shared-memory segments, declared once, here. `holdfast-control --print-layout` prints them as JSON;
// Python builds its numpy dtypes from that. Every field is naturally aligned; there is no hidden padding.
//
//   state segment   written by holdfast-control (Tier-1 thread), read by holdfast-safety and the worker
//   safety segment  written by holdfast-safety, read by holdfast-control (Tier-1 thread, each cycle)
//
// Seqlock: the writer makes `sequence` odd, writes, makes it even. It never waits. A reader copies and
// retries a bounded number of times, then keeps its old sample and counts that.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "estimate/health.hpp"
#include "robot/config.hpp"

namespace holdfast::shm {

inline constexpr std::uint64_t kStateMagic = 0x4554415453464B48;   // "HKFSTATE"
inline constexpr std::uint64_t kSafetyMagic = 0x5946415353464B48;  // "HKFSSAFY"
inline constexpr std::uint32_t kLayoutVersion = 2;

struct Header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t size;  // bytes of the whole segment
};

// What the core is doing: the states of core/execution_state.hpp, which says what leads from one to the next.
enum class Mode : std::uint32_t {
    kDisarmed = 0,  // safe frames; nothing moves
    kArmed = 1,     // drives are being enabled; safe frames until each says that it is
    kStopping = 2,  // controlled stop under way, then kDisarmed
    kEstop = 3,     // the latch of the safety daemon stands; safe frames
    kFault = 4,     // the core refuses to work until somebody clears that or restarts it; safe frames
    kRunning = 5,   // the active controller's setpoints, filtered
    kPaused = 6,    // safe frames; the controller is not called and simulation time stands
    kHolding = 7,   // safe frames while the setpoint is too old or the cycle before took too long
};
inline constexpr Mode kLastMode = Mode::kHolding;

// Somebody armed the robot and nothing has disarmed it since.
[[nodiscard]] constexpr bool is_armed(Mode mode) {
    return mode == Mode::kArmed || mode == Mode::kRunning || mode == Mode::kPaused || mode == Mode::kHolding;
}

enum class ControllerState : std::uint32_t { kNone = 0, kLoaded = 1, kRunning = 2, kFaulted = 3 };

enum class ControllerFault : std::uint32_t {
    kNone = 0,
    kTrap = 1,          // controlled stop
    kOverrun = 2,       // the tick took longer than its budget: controlled stop
    kNotFinite = 3,     // set a value that is NaN or infinite: e-stop
    kEstopRequest = 4,  // called safety.request_estop: e-stop
};

enum class StopCause : std::uint32_t {
    kNone = 0,
    kOperator = 1,
    kCoreLost = 2,
    kWorkerLost = 3,
    kControllerRequest = 4,
    kControllerNotFinite = 5,
    kStateRecordUnreadable = 6,  // the latch file is damaged: a stop is assumed
    kEstopLine = 7,              // a contact of the e-stop is open
    kEstopDiscrepancy = 8,       // its two contacts disagree for too long: one of them is broken
    kEstopLineUnreadable = 9,
    kEnableLineFailed = 10,
    kDriveFault = 11,
    kCoreOverruns = 12,  // the core overruns on although its own ladder should have stopped it
    kTemperature = 13,
    kMemoryPressure = 14,
    kHealthUnreadable = 15,  // temperature or memory pressure that was to be watched is not known
};
inline constexpr StopCause kLastStopCause = StopCause::kHealthUnreadable;

// Rule 10: everything that is clamped, rejected, missed, dropped or retried. The names are what people see.
enum class Counter : std::uint32_t {
    kOverruns = 0,       // Tier-1 cycles whose work ended after the next wake was due
    kSkippedCycles = 1,  // periods skipped because of an overrun
    kControllerTicks = 2,
    kControllerOverruns = 3,
    kControllerTraps = 4,
    kSetpointStale = 5,       // Tier-1 cycles with a controller's setpoint beyond its age limit
    kStateStale = 6,          // state samples beyond their age limit, per cycle and channel
    kCommandNotFinite = 7,    // command.set with NaN or infinity
    kCommandClamped = 8,      // command.set outside the limits
    kCommandNoChannel = 9,    // command.set on a channel that does not exist
    kShieldRateLimited = 10,  // filter: rate or acceleration limited, per cycle and channel
    kShieldStoppingDistance = 11,
    kShieldConflict = 12,
    kMetricsDropped = 13,
    kLinkSendErrors = 14,
    kLinkReceiveErrors = 15,
    kFramesSent = 16,
    kFramesReceived = 17,
    kSafetyBeatMissed = 18,  // Tier-1 cycles that saw no fresh heartbeat of the safety daemon
    kSeqlockRetriesExhausted = 19,
    kDriveErrors = 20,
    kDriveSilences = 21,      // times a drive's heartbeat stopped or its link was lost
    kLinkBusOff = 22,         // times a CAN controller left its bus
    kLinkRestarts = 23,       // times it came back
    kLinkErrorPassive = 24,   // times it became error passive
    kLinkAckErrors = 25,      // frames that nobody acknowledged
    kLinkOverflows = 26,      // frames lost in the controller
    kLinkDowns = 27,          // times an interface or serial device went away
    kLinkDamagedFrames = 28,  // serial: frames that failed their CRC
    kShieldCoupling = 29,     // filter: cycles held back by a [[coupling]]
    kShieldWorkspace = 30,    // by the [workspace]
    kShieldZoneSlow = 31,     // cycles slowed down by a [[zone]]
    kShieldZoneStop = 32,     // cycles stopped by a [[zone]]
    kEstimateRejected = 33,   // measurements that did not fit the estimate
    kEstimateNotFinite = 34,  // measurements that are NaN or infinite
    kEstimateRestarts = 35,   // estimates started afresh after too many of either in a row
    kEstimateUnhealthy =
        36,               // per cycle and joint: its estimate has failed and is not yet proved right again
    kAttitudeGated = 37,  // accelerometer samples that measured motion
    kTransitionsRefused = 38,     // requests that the execution state or a guard did not allow
    kCandidateTicks = 39,         // process(tick) of a controller that is staged
    kCandidateTicksSkipped = 40,  // the active controller left it no time
    kCandidatesRejected = 41,
    kCanaryLimited = 42,  // values of a canary held near the active controller's, per tick and channel
    kRollbacks = 43,      // the last known good controller was loaded again
    kInputStale = 44,     // inputs beyond their age limit, per tick and input
    kInputRefused = 45,   // requests to set inputs that were refused
    kCount = 46,
};
inline constexpr std::size_t kMaxCounters = 64;

struct StateData {
    std::uint64_t boot_id;  // random per start of the core
    std::uint64_t cycle;
    std::int64_t mono_ns;  // CLOCK_MONOTONIC at the start of this cycle; the core's heartbeat
    std::int64_t sim_time_ns;
    Mode mode;
    ControllerState controller_state;
    ControllerFault controller_fault;
    std::uint32_t realtime_degraded;  // 1: [control] realtime = "prefer" and something is missing
    std::uint64_t controller_tick;
    std::uint64_t controller_generation;  // counts loads; tells one controller from the next
    std::int64_t setpoint_mono_ns;
    std::uint64_t estop_latch_seen;    // latch_sequence that the core obeys, 0 = none
    std::int64_t estop_flag_seen_ns;   // when Tier-1 saw the flag
    std::int64_t estop_frame_sent_ns;  // when the first safe frame after it had left
    std::uint64_t estop_frame_cycle;   // cycles from the flag being set to that frame
    std::uint64_t moving;  // 1: some sent velocity is not zero or some measured one above its threshold
    std::array<std::uint64_t, kMaxCounters> counters;
    std::array<double, kMaxStateChannels> state;
    std::array<std::int64_t, kMaxStateChannels> state_mono_ns;  // 0: never received
    std::array<double, kMaxCommandChannels> requested;          // by the controller, before the filter
    std::array<double, kMaxCommandChannels> sent;               // what left the filter
    std::int64_t wake_latency_ns;                               // of this cycle
    std::int64_t cycle_time_ns;                                 // of the cycle before
    // Estimates, by command channel: the joint that its drive moves. NaN: not observed.
    std::array<double, kMaxCommandChannels> joint_position;
    std::array<double, kMaxCommandChannels> joint_velocity;
    std::array<double, kMaxCommandChannels> joint_acceleration;
    std::array<double, kMaxCommandChannels> joint_innovation;  // mean normalised innovation squared; 1 fits
    std::array<EstimateHealth, kMaxCommandChannels> joint_health;
    std::array<double, 4> attitude;   // w, x, y, z: from the IMU's frame to the level one of the start
    std::array<double, 3> gyro_bias;  // rad/s
    double attitude_innovation;
    EstimateHealth attitude_health;
    std::uint32_t
        joints_untrusted;  // bit per command channel that needs a position and has no sound estimate
};

// Latency histograms with 1 µs bins; the last bin takes everything above. Relaxed atomics, one writer.
inline constexpr std::size_t kHistogramBins = 10'001;
struct Histogram {
    std::array<std::atomic<std::uint64_t>, kHistogramBins> bins;
    std::atomic<std::uint64_t> count;
    std::atomic<std::uint64_t> max_ns;
};

struct StateSegment {
    Header header;
    alignas(64) std::atomic<std::uint64_t> sequence;
    StateData data;
    alignas(64) Histogram wake;  // from scheduled wake to running
    Histogram cycle;             // from running to the end of the cycle's work
    Histogram controller;        // process(tick)
    Histogram read;              // parts of a cycle: links read, samples stored
    Histogram estimate;          // joints and attitude
    Histogram shield;            // mode decided, every wish filtered
    Histogram write;             // frames sent
};

struct SafetyData {
    std::uint64_t beat;            // counts the daemon's periods
    std::int64_t mono_ns;          // of that period
    std::uint64_t latch_sequence;  // 0: no latched stop; else the number of the stop, ever increasing
    std::int64_t latch_mono_ns;    // when it was set (0 if before this boot)
    StopCause cause;
    std::uint32_t arm_permitted;  // 1: no latch, and every required heartbeat is fresh
};

struct SafetySegment {
    Header header;
    alignas(64) std::atomic<std::uint64_t> stop;  // latch_sequence again, on its own: Tier-1 reads this first
    alignas(64) std::atomic<std::uint64_t> sequence;
    SafetyData data;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace holdfast::shm
