// Boundary sweeps of the limits of wires, overruns and health: 5 dense steps on both sides of each limit and
// 100 across its range, armed and disarmed.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "safety/kernel.hpp"
#include "safety/kernel_driver.hpp"

namespace holdfast::safety {
namespace {

constexpr std::int64_t kPeriodNs = KernelDriver::kPeriodNs;

std::vector<int> sweep(int limit, int least = 1) {
    std::vector<int> values;
    for (int offset = -5; offset <= 5; ++offset) values.push_back(limit + offset);
    for (int i = 1; i <= 100; ++i) values.push_back(1 + limit * i / 50);
    std::erase_if(values, [least](int value) { return value < least; });
    return values;
}

int periods_of(std::int64_t time_ns) { return static_cast<int>((time_ns + kPeriodNs - 1) / kPeriodNs); }

Inputs peers(bool armed) { return armed ? KernelDriver::armed() : KernelDriver::alive(); }

class Armed : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(ArmedOrNot, Armed, testing::Bool());

TEST_P(Armed, DiscrepancyIsFoundInThePeriodInWhichItsTimeIsUp) {
    for (const std::int64_t limit_ns :
         {kPeriodNs, kPeriodNs + 1, 10 * kPeriodNs, 10 * kPeriodNs - 1, 500 * kPeriodNs}) {
        const int limit = periods_of(limit_ns);
        for (const int periods : sweep(limit)) {
            for (const std::size_t contact : {0u, 1u}) {
                KernelDriver kernel;
                kernel.config.estop_lines = true;
                kernel.config.estop_discrepancy_ns = limit_ns;
                kernel.step(peers(GetParam()));
                Inputs in = peers(GetParam());
                in.estop.open[contact] = true;
                for (int period = 1; period <= periods; ++period) {
                    const Outputs out = kernel.step(in);
                    ASSERT_EQ(out.cause,
                              period >= limit ? StopCause::kEstopDiscrepancy : StopCause::kEstopLine)
                        << period << " of " << limit;
                    ASSERT_EQ(out.newly_latched, period == 1);
                }
                const Outputs out = kernel.step(peers(GetParam()));
                ASSERT_EQ(out.standing, periods >= limit ? StopCause::kEstopDiscrepancy : StopCause::kNone);
            }
        }
    }
}

TEST_P(Armed, EnableFallsWhenTheDelayIsOver) {
    for (const std::int64_t delay_ns :
         {std::int64_t{0}, std::int64_t{1}, kPeriodNs, 50 * kPeriodNs, 400 * kPeriodNs - 1}) {
        KernelDriver kernel;
        kernel.config.enable_line = true;
        kernel.config.enable_drop_delay_ns = delay_ns;
        kernel.step(peers(GetParam()));
        Inputs in = peers(GetParam());
        in.operator_stop = true;
        const int limit = periods_of(delay_ns);
        for (int period = 1; period <= 2 * limit + 5; ++period) {
            ASSERT_EQ(kernel.step(in).enable, period <= limit) << "period " << period << " of " << limit;
            in.operator_stop = false;
        }
    }
}

TEST_P(Armed, OverrunsTripAtTheirNumber) {
    for (const int limit : {1, 5, 20, 400}) {
        for (const int overruns : sweep(limit, 0)) {
            KernelDriver kernel;
            kernel.config.core_overruns = Reaction::kStop;
            kernel.config.overrun_limit = static_cast<std::uint32_t>(limit);
            kernel.config.overrun_window_ns = 8'000 * kPeriodNs;
            Outputs out{};
            for (int i = 0; i < overruns; ++i) {
                Inputs in = peers(GetParam());
                in.core_overruns = 1;
                out = kernel.step(in);
            }
            const bool stopped = GetParam() && overruns >= limit;
            ASSERT_EQ(out.cause, stopped ? StopCause::kCoreOverruns : StopCause::kNone)
                << overruns << " of " << limit;
        }
    }
}

// The window is kept in eighths: within seven of them nothing is forgotten, after eight everything is.
void expect_window(std::int64_t period_ns, int window) {
    for (int gap = 1; gap <= 2 * window; ++gap) {
        for (int phase = 0; phase < window / 8; ++phase) {
            KernelDriver kernel;
            kernel.config.period_ns = period_ns;
            kernel.config.core_overruns = Reaction::kStop;
            kernel.config.overrun_limit = 2;
            kernel.config.overrun_window_ns = window * period_ns;
            for (int i = 0; i < phase; ++i) kernel.step(peers(true));
            Inputs in = peers(true);
            in.core_overruns = 1;
            kernel.step(in);
            for (int i = 1; i < gap; ++i) ASSERT_EQ(kernel.step(peers(true)).standing, StopCause::kNone);
            const StopCause cause = kernel.step(in).cause;
            const bool remembered = gap <= window * 7 / 8;
            const bool either = !remembered && gap < window;
            ASSERT_TRUE(either || cause == (remembered ? StopCause::kCoreOverruns : StopCause::kNone))
                << gap << ", phase " << phase;
        }
    }
}

TEST(OverrunWindow, RemembersSevenEighthsAndForgetsAfterTheWhole) { expect_window(kPeriodNs, 80); }

// A nanosecond that is lost or won in an eighth shows only where a period is not longer.
TEST(OverrunWindow, KeepsItsEighthsToTheNanosecond) { expect_window(1, 32); }

struct LimitCase {
    StopCause cause;
    std::int32_t limit;
    std::int32_t clear;
};

class HealthLimit : public testing::TestWithParam<std::tuple<LimitCase, bool>> {
  protected:
    static Inputs sample(const LimitCase& limit, bool armed, std::int32_t value) {
        Inputs in = peers(armed);
        in.health.is_new = true;
        (limit.cause == StopCause::kTemperature ? in.health.temperature : in.health.memory_pressure) = {
            true, value};
        return in;
    }
    static KernelDriver driver(const LimitCase& limit) {
        KernelDriver kernel;
        kernel.config.health_max_age_ns = 1'000 * kPeriodNs;
        (limit.cause == StopCause::kTemperature
             ? kernel.config.temperature
             : kernel.config.memory_pressure) = {Reaction::kStop, limit.limit, limit.clear, false};
        return kernel;
    }
};

TEST_P(HealthLimit, StopsFromTheLimitOn) {
    const auto& [limit, armed] = GetParam();
    for (const int value : sweep(limit.limit, -10)) {
        KernelDriver kernel = driver(limit);
        const Outputs out = kernel.step(sample(limit, armed, value));
        ASSERT_EQ(out.cause, value >= limit.limit ? limit.cause : StopCause::kNone) << value;
    }
}

TEST_P(HealthLimit, StandsDownToTheLowerLimit) {
    const auto& [limit, armed] = GetParam();
    for (const int value : sweep(limit.clear, -10)) {
        KernelDriver kernel = driver(limit);
        ASSERT_EQ(kernel.step(sample(limit, armed, limit.limit)).standing, limit.cause);
        const Outputs out = kernel.step(sample(limit, armed, value));
        ASSERT_EQ(out.standing, value >= limit.clear ? limit.cause : StopCause::kNone) << value;
    }
}

INSTANTIATE_TEST_SUITE_P(EveryLimit, HealthLimit,
                         testing::Combine(testing::Values(LimitCase{StopCause::kTemperature, 95'000, 90'000},
                                                          LimitCase{StopCause::kTemperature, 60'000, 59'999},
                                                          LimitCase{StopCause::kMemoryPressure, 5'000, 2'500},
                                                          LimitCase{StopCause::kMemoryPressure, 1, 0}),
                                          testing::Bool()));

TEST_P(Armed, AgeOfASampleIsCountedInPeriods) {
    for (const std::int64_t limit_ns : {kPeriodNs, 7 * kPeriodNs + 1, 100 * kPeriodNs}) {
        const int limit = periods_of(limit_ns);
        for (const int periods : sweep(limit)) {
            KernelDriver kernel;
            kernel.config.temperature = {Reaction::kStop, 95'000, 90'000, false};
            kernel.config.health_max_age_ns = limit_ns;
            Inputs in = peers(GetParam());
            in.health = {true, {true, 20'000}, {}};
            kernel.step(in);
            in.health.is_new = false;
            for (int period = 1; period <= periods; ++period) {
                kernel.now_ns += 1'000'000'000;  // a machine that stood still has no old samples
                ASSERT_EQ(kernel.step(in).standing,
                          period >= limit ? StopCause::kHealthUnreadable : StopCause::kNone)
                    << period << " of " << limit;
            }
        }
    }
}

}  // namespace
}  // namespace holdfast::safety
