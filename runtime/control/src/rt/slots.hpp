// Who wakes when in a period of the loop. Core and safety daemon are processes of their own and share a
// processor on small robots: each keeps its place on the grid of CLOCK_MONOTONIC, which is one clock for all
// of them, so that none wakes into the work of another, whenever it was started or restarted.
//
// The first quarter is the kernel's: its tick comes at multiples of whole milliseconds. Half a period lies
// between Tier-1 and the safety daemon, either way: a stop that the daemon sees is read by Tier-1 half a
// period later, and the daemon finds a heartbeat of half a period ago.
#pragma once

#include <cstdint>

namespace holdfast {

// Time from a multiple of Tier-1's period to the wake.
[[nodiscard]] constexpr std::int64_t tier1_slot_ns(std::int64_t tier1_period_ns) {
    return tier1_period_ns / 4;
}
// After Tier-1, whose snapshot it works on, and well before the next, which sends what it wishes.
[[nodiscard]] constexpr std::int64_t controller_slot_ns(std::int64_t tier1_period_ns) {
    return tier1_period_ns / 2;
}
[[nodiscard]] constexpr std::int64_t safety_slot_ns(std::int64_t tier1_period_ns) {
    return tier1_period_ns / 4 * 3;
}

}  // namespace holdfast
