// Boundary sweeps of every time limit, and random sequences against an independent account of what must hold.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "safety/kernel.hpp"
#include "safety/kernel_driver.hpp"

namespace holdfast::safety {
namespace {

using shm::ControllerFault;

// +-5 periods around the limit, and 100 points across its range.
std::vector<int> sweep(int limit) {
    std::vector<int> silences;
    for (int offset = -5; offset <= 5; ++offset) {
        if (limit + offset > 0) silences.push_back(limit + offset);
    }
    for (int i = 1; i <= 100; ++i) silences.push_back(1 + limit * i / 50);
    return silences;
}

struct SweepCase {
    bool core;
    bool armed;
    std::int64_t timeout_ns;
};

class KernelSweep : public testing::TestWithParam<SweepCase> {
  protected:
    // The first period of silence in which the stop must be taken.
    static int limit(std::int64_t timeout_ns) {
        return static_cast<int>((timeout_ns + KernelDriver::kPeriodNs - 1) / KernelDriver::kPeriodNs);
    }
};

TEST_P(KernelSweep, StopsInThePeriodInWhichTheLimitIsReached) {
    const auto [core, armed, timeout_ns] = GetParam();
    for (const int silence : sweep(limit(timeout_ns))) {
        KernelDriver kernel;
        (core ? kernel.config.core_timeout_ns : kernel.config.worker_timeout_ns) = timeout_ns;
        kernel.step(armed ? kernel.armed() : kernel.alive());
        Inputs in = armed ? kernel.armed() : kernel.alive();
        (core ? in.core_beat : in.worker_beat) = false;
        Outputs out{};
        for (int period = 1; period <= silence; ++period) {
            out = kernel.step(in);
            ASSERT_EQ(out.newly_latched, period == limit(timeout_ns))
                << "silent for " << period << " periods";
        }
        const bool stopped = silence >= limit(timeout_ns);
        EXPECT_EQ(out.cause, !stopped ? StopCause::kNone
                             : core   ? StopCause::kCoreLost
                                      : StopCause::kWorkerLost);
        EXPECT_EQ(out.arm_permitted, !stopped);
        // The beat comes back: the latch stays, its cause is gone.
        out = kernel.step(kernel.alive());
        EXPECT_EQ(out.latch_sequence, stopped ? 1u : 0u);
        EXPECT_EQ(out.standing, StopCause::kNone);
    }
}

INSTANTIATE_TEST_SUITE_P(EveryLimit, KernelSweep,
                         testing::Values(SweepCase{true, false, 5'000'000}, SweepCase{true, true, 5'000'000},
                                         SweepCase{true, true, 1}, SweepCase{true, true, 4'999'999},
                                         SweepCase{true, true, 5'000'001}, SweepCase{true, true, 100'000'000},
                                         SweepCase{false, false, 500'000'000},
                                         SweepCase{false, true, 500'000'000},
                                         SweepCase{false, true, 499'999'999},
                                         SweepCase{false, true, 500'000'001}));

// What the test itself keeps account of, from the inputs alone.
struct Account {
    std::uint64_t stops{0};
    bool latched{false};
    int core_silent{0}, worker_silent{0};  // periods; meaningful once heard
    bool core_heard{false}, worker_heard{false};
    bool core_heard_since_reset{false}, worker_heard_since_reset{false};
};

class KernelProperties : public testing::TestWithParam<std::uint32_t> {
  protected:
    bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }

    // Mostly alive, so that sequences reach beyond the first stop.
    Inputs random_inputs() {
        if (chance(0.02)) core_attached_ = !core_attached_;
        if (chance(0.02)) worker_attached_ = !worker_attached_;
        if (chance(0.05)) core_beats_ = !core_beats_;
        if (chance(0.05)) worker_beats_ = !worker_beats_;
        if (chance(0.05)) armed_ = !armed_;
        if (chance(0.03))
            fault_ = static_cast<ControllerFault>(std::uniform_int_distribution<int>(0, 4)(random_));
        Inputs in{};
        in.core_attached = core_attached_;
        in.core_beat = core_beats_;
        in.core_armed = armed_;
        in.core_lost = core_attached_ && chance(0.01);
        in.worker_attached = worker_attached_;
        in.worker_beat = worker_beats_;
        in.worker_lost = worker_attached_ && chance(0.01);
        in.controller_fault = fault_;
        in.record_unreadable = chance(0.005);
        if (chance(0.05)) record_behind_ = !record_behind_;
        in.record_behind = record_behind_;
        // Numbers of stops that the record of this daemon does not know.
        if (!account_.latched && chance(0.005))
            in.lost_stop = account_.stops + std::uniform_int_distribution<std::uint64_t>(0, 3)(random_);
        in.operator_stop = chance(0.01);
        in.reset = chance(0.2);
        return in;
    }

    static void hear(bool attached, bool beat, bool lost, int timeout, int& silent, bool& heard,
                     bool& since_reset) {
        if (!attached) {
            heard = since_reset = false;
            silent = 0;
            return;
        }
        silent = beat ? 0 : silent + 1;
        heard = heard || beat || lost;
        since_reset = since_reset || beat;
        if (lost) silent = timeout;
    }

    void check(const KernelDriver& kernel, const Inputs& in, const Outputs& out) {
        const bool left_armed = (was_armed_ || in.core_armed) &&
                                ((core_was_ && !in.core_attached) || (worker_was_ && !in.worker_attached));
        hear(in.core_attached, in.core_beat, in.core_lost, KernelDriver::kCorePeriods, account_.core_silent,
             account_.core_heard, account_.core_heard_since_reset);
        hear(in.worker_attached, in.worker_beat, in.worker_lost, 20, account_.worker_silent,
             account_.worker_heard, account_.worker_heard_since_reset);
        const bool hazard = in.operator_stop || in.record_unreadable || in.lost_stop != 0 || left_armed ||
                            in.controller_fault == ControllerFault::kNotFinite ||
                            in.controller_fault == ControllerFault::kEstopRequest ||
                            (account_.core_heard && account_.core_silent >= KernelDriver::kCorePeriods) ||
                            (account_.worker_heard && account_.worker_silent >= 20);

        EXPECT_EQ(out.standing != StopCause::kNone, hazard);
        EXPECT_TRUE(!hazard || out.latch_sequence != 0) << "a hazard without a stop";
        EXPECT_TRUE(!account_.latched || out.reset_granted || out.latch_sequence != 0) << "a forgotten stop";
        const bool unheeded = (account_.latched || hazard) && in.core_attached && in.core_armed;
        EXPECT_EQ(out.reset_granted, in.reset && !hazard && !unheeded);
        EXPECT_EQ(out.reset_refused, in.reset && (hazard || unheeded));
        EXPECT_EQ(out.newly_latched, hazard && !account_.latched);
        account_.stops = std::max(account_.stops, in.lost_stop);
        if (out.newly_latched) ++account_.stops;
        if (out.latch_sequence != 0) {
            EXPECT_EQ(out.latch_sequence, account_.stops);
            EXPECT_NE(out.cause, StopCause::kNone);
            EXPECT_FALSE(out.arm_permitted) << "armed under a latch";
        } else {
            EXPECT_EQ(out.cause, StopCause::kNone);
        }
        EXPECT_EQ(kernel.state.last_sequence, account_.stops);
        const bool cleared = account_.latched && out.reset_granted;
        account_.latched = out.latch_sequence != 0;
        if (cleared) account_.core_heard_since_reset = account_.worker_heard_since_reset = false;
        EXPECT_EQ(out.arm_permitted, !account_.latched && account_.core_heard_since_reset &&
                                         account_.worker_heard_since_reset && !in.record_behind);
        core_was_ = in.core_attached;
        worker_was_ = in.worker_attached;
        was_armed_ = in.core_attached && in.core_armed;
    }

    std::mt19937 random_{GetParam()};
    bool core_attached_{false}, worker_attached_{false}, core_beats_{true}, worker_beats_{true},
        armed_{false}, record_behind_{false};
    bool core_was_{false}, worker_was_{false}, was_armed_{false};
    ControllerFault fault_{ControllerFault::kNone};
    Account account_;
};

TEST_P(KernelProperties, HoldInEveryPeriodOfARandomLife) {
    KernelDriver kernel;
    kernel.config.worker_timeout_ns = 20 * KernelDriver::kPeriodNs;
    int permitted = 0;
    for (int period = 0; period < 20'000; ++period) {
        if (chance(0.0005)) {  // the daemon restarts with what the latch file holds
            kernel.state = State{.latch_sequence = kernel.state.latch_sequence,
                                 .last_sequence = kernel.state.last_sequence,
                                 .cause = kernel.state.cause,
                                 .latch_ns = 0,
                                 .core = {},
                                 .worker = {},
                                 .core_was_armed = false};
            account_ = Account{.stops = account_.stops, .latched = account_.latched};
            core_attached_ = worker_attached_ = core_was_ = worker_was_ = was_armed_ = false;
        }
        const Inputs in = random_inputs();
        const Outputs out = kernel.step(in);
        check(kernel, in, out);
        permitted += out.arm_permitted ? 1 : 0;
        ASSERT_FALSE(HasFailure()) << "seed " << GetParam() << ", period " << period;
    }
    EXPECT_GT(account_.stops, 10u);  // the sequence went somewhere
    EXPECT_GT(permitted, 100);
}

INSTANTIATE_TEST_SUITE_P(Seeds, KernelProperties, testing::Range(std::uint32_t{1}, std::uint32_t{33}));

}  // namespace
}  // namespace holdfast::safety
