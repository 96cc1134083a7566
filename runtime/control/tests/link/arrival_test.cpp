// Hazard: what waited in a link's queue while nobody listened is taken for measured now.
#include "link/arrival.hpp"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

constexpr std::int64_t kPeriodNs = 1'000'000;
constexpr std::int64_t kStartNs = 1'000'000'000;

TEST(Arrival, IsUnknownBeforeAnybodyListened) { EXPECT_EQ(Arrival(kPeriodNs).earliest(kStartNs), 0); }

TEST(Arrival, IsNowWhileTheQueueIsEmptiedInTime) {
    Arrival arrival(kPeriodNs);
    arrival.emptied(kStartNs);
    for (const std::int64_t later : {std::int64_t{0}, kPeriodNs, 2 * kPeriodNs})
        EXPECT_EQ(arrival.earliest(kStartNs + later), kStartNs + later);
}

TEST(Arrival, IsWhenTheQueueWasLastEmptyAfterAPause) {
    Arrival arrival(kPeriodNs);
    arrival.emptied(kStartNs);
    EXPECT_EQ(arrival.earliest(kStartNs + 2 * kPeriodNs + 1), kStartNs);
    // It held more than one cycle takes: the rest is as old.
    EXPECT_EQ(arrival.earliest(kStartNs + 4 * kPeriodNs), kStartNs);
    arrival.emptied(kStartNs + 4 * kPeriodNs);
    EXPECT_EQ(arrival.earliest(kStartNs + 5 * kPeriodNs), kStartNs + 5 * kPeriodNs);
}

}  // namespace
}  // namespace holdfast
