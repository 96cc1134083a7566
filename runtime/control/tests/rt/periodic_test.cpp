// Skip, never burst; the phase is kept. No test here depends on how fast the machine is.
#include "rt/periodic.hpp"

#include <gtest/gtest.h>

#include "rt/clock.hpp"
#include "rt/kernel.hpp"
#include "rt/realtime.hpp"
#include "rt/slots.hpp"

namespace holdfast {
namespace {

constexpr std::int64_t kPeriod = 1'000'000;

TEST(Schedule, WakesAtEveryMultipleOfThePeriod) {
    Schedule schedule(kPeriod, 500);
    for (std::int64_t k = 1; k <= 1000; ++k) {
        const Schedule::Due due = schedule.next(500 + (k - 1) * kPeriod + 300'000);
        EXPECT_EQ(due.at_ns, 500 + k * kPeriod);
        EXPECT_EQ(due.skipped, 0u);
    }
}

TEST(Schedule, IsStillOnTimeAtTheVeryMoment) {
    Schedule schedule(kPeriod, 0);
    EXPECT_EQ(schedule.next(kPeriod).skipped, 0u);
    EXPECT_EQ(schedule.next(kPeriod).at_ns, 2 * kPeriod);
}

TEST(Schedule, KPeriodsOfDelayGiveKSkipsAndKeepThePhase) {
    for (std::int64_t k = 1; k <= 50; ++k) {
        Schedule schedule(kPeriod, 77);
        ASSERT_EQ(schedule.next(77).at_ns, 77 + kPeriod);
        // The work of the first cycle ends k periods later than it may: within the k-th missed period.
        const Schedule::Due late = schedule.next(77 + kPeriod + k * kPeriod + 1);
        EXPECT_EQ(late.skipped, static_cast<std::uint64_t>(k));
        EXPECT_EQ(late.at_ns, 77 + (2 + k) * kPeriod);
        const Schedule::Due next = schedule.next(late.at_ns);
        EXPECT_EQ(next.skipped, 0u) << "a burst after the delay";
        EXPECT_EQ(next.at_ns, late.at_ns + kPeriod);
    }
}

// Hazard: two loops of one processor that wake into each other's work. Whenever they start, they keep apart.
TEST(Schedule, OnTheGridWakesInItsSlotWheneverItWasStarted) {
    for (const std::int64_t slot : {std::int64_t{0}, kPeriod / 4, kPeriod - 1}) {
        for (const std::int64_t now : {std::int64_t{1}, slot, slot + 1, 7 * kPeriod + slot - 1,
                                       7 * kPeriod + slot, 7 * kPeriod + slot + 1, 8 * kPeriod - 1}) {
            const Schedule::Due due = Schedule::on_grid(kPeriod, slot, now).next(now);
            EXPECT_EQ(due.at_ns % kPeriod, slot) << now;
            EXPECT_GT(due.at_ns, now);
            EXPECT_LE(due.at_ns - now, kPeriod);
            EXPECT_EQ(due.skipped, 0u);
        }
    }
}

TEST(Schedule, OnTheGridComesBackToItsSlotAfterADelay) {
    Schedule schedule = Schedule::on_grid(kPeriod, kPeriod / 4, 5 * kPeriod);
    (void)schedule.next(5 * kPeriod);
    const Schedule::Due late = schedule.next(9 * kPeriod);
    EXPECT_EQ(late.at_ns, 9 * kPeriod + kPeriod / 4);
    EXPECT_EQ(late.skipped, 3u);
}

// Tier-1 may take half a period before the safety daemon's cycle falls into its own; a controller's period
// is a multiple of it, so its slot is one in each of those periods.
TEST(Slots, LieApart) {
    for (const std::int64_t period : {kPeriod, 5 * kPeriod, std::int64_t{3'333'333}}) {
        EXPECT_GT(tier1_slot_ns(period), 0);
        EXPECT_GE(controller_slot_ns(period) - tier1_slot_ns(period), period / 4);
        EXPECT_GE(safety_slot_ns(period) - controller_slot_ns(period), period / 5);
        EXPECT_NEAR(static_cast<double>(safety_slot_ns(period) - tier1_slot_ns(period)),
                    static_cast<double>(period) / 2, 3.0);
        EXPECT_LT(safety_slot_ns(period), period);
    }
}

TEST(Periodic, KeepsItsSlotOnTheMonotonicClock) {
    Periodic periodic(kPeriod, kPeriod / 4);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(periodic.wait().scheduled_ns % kPeriod, kPeriod / 4);
}

TEST(Periodic, NeverWakesBeforeItsTime) {
    Periodic periodic(100'000);
    std::int64_t last_ns = 0;
    for (int i = 0; i < 100; ++i) {
        const Wake wake = periodic.wait();
        EXPECT_GE(wake.woke_ns, wake.scheduled_ns);
        if (last_ns != 0) {
            EXPECT_EQ(wake.scheduled_ns - last_ns, 100'000 * static_cast<std::int64_t>(1 + wake.skipped));
        }
        last_ns = wake.scheduled_ns;
    }
}

TEST(Realtime, AnswersInSentencesThatSayHowToMendIt) {
    for (const std::string& shortfall : kernel_shortfalls())
        EXPECT_NE(shortfall.find("; "), std::string::npos);
    // No such processor on any machine.
    const auto shortfalls = make_thread_realtime(1, 1023);
    ASSERT_FALSE(shortfalls.empty());
    EXPECT_NE(shortfalls.back().find("cpu 1023"), std::string::npos);
}

}  // namespace
}  // namespace holdfast
