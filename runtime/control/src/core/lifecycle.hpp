// Where a controller stands between its load and its proof (DESIGN section 3), as the controller thread tells
// it: shadow -> canary -> active (watched) -> proved.
#pragma once

#include <cstdint>

#include "shm/layout.hpp"
#include "wasm/controller.hpp"

namespace holdfast::core {

enum class Stage : std::uint8_t {
    kShadow,  // called with the same inputs as the active one; nothing of it is sent
    kCanary,  // its output is sent, held near the active one's
    kActive,  // its output is sent
};

enum class Verdict : std::uint8_t {
    kNone,
    kActivated,
    kRejected,   // by its own doing
    kWithdrawn,  // by nothing that it did
};

enum class Ground : std::uint8_t {
    kNone,
    // of a rejection
    kTrap,
    kOverrun,
    kNotFinite,
    kNoChannel,
    kOutsideLimits,
    kEstopRequest,
    kStarved,  // the active controller never left it the time for a tick
    // of a withdrawal
    kStopped,       // the robot was stopped, for whatever reason: it may have been the candidate
    kActiveFailed,  // nothing is left to compare it with
    kAsked,
    kSuperseded,
};

// What became of a staged controller, and in which tick of its own.
struct StagingOutcome {
    std::uint64_t generation{};
    Verdict verdict{};
    Ground ground{};
    Stage stage{};
    std::int64_t tick{};
    wasm::TickOutput output;  // of that tick
};

struct Lifecycle {
    std::uint64_t candidate{};  // generation of the controller that is staged, 0: none
    Stage stage{};              // of it
    std::uint64_t stage_ticks{};
    StagingOutcome outcome;  // of the last one that was staged

    std::uint64_t active{};   // generation, 0: none
    std::uint64_t watched{};  // ticks since it became active
    bool proved{};            // it ran through its watch
    shm::ControllerFault fault{};
};

}  // namespace holdfast::core
