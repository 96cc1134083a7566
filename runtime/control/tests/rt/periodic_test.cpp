// Skip, never burst; the phase is kept. No test here depends on how fast the machine is.
#include "rt/periodic.hpp"

#include <gtest/gtest.h>

#include "rt/clock.hpp"
#include "rt/kernel.hpp"
#include "rt/realtime.hpp"

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
