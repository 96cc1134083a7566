// Random lives of a robot with every wire and sensor, from seeds. What must hold in every period is said here
// from the inputs and outputs alone, without a second kernel.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "safety/kernel.hpp"
#include "safety/kernel_driver.hpp"

namespace holdfast::safety {
namespace {

constexpr int kPeriods = 30'000;
constexpr int kDiscrepancy = 10;
constexpr int kMaxAge = 50;
constexpr std::int32_t kHot = 95'000;

class RandomLife : public testing::TestWithParam<std::uint32_t> {
  protected:
    bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
    template <typename Number>
    Number between(Number low, Number high) {
        return std::uniform_int_distribution<Number>(low, high)(random_);
    }
    void flip(bool& value, double probability) { value = value != chance(probability); }

    static KernelDriver robot() {
        KernelDriver kernel;
        KernelConfig& c = kernel.config;
        c.worker_timeout_ns = 20 * KernelDriver::kPeriodNs;
        c.estop_lines = c.enable_line = true;
        c.estop_discrepancy_ns = kDiscrepancy * KernelDriver::kPeriodNs;
        c.enable_drop_delay_ns = 15 * KernelDriver::kPeriodNs;
        c.drive_faults = c.core_overruns = Reaction::kStop;
        c.overrun_limit = 5;
        c.overrun_window_ns = 80 * KernelDriver::kPeriodNs;
        c.temperature = {Reaction::kStop, kHot, 90'000, false};
        c.memory_pressure = {Reaction::kWarn, 5'000, 2'500, false};
        c.health_max_age_ns = kMaxAge * KernelDriver::kPeriodNs;
        return kernel;
    }

    // Mostly healthy; each thing goes wrong for a while now and then.
    Inputs next() {
        flip(in_.core_attached, in_.core_attached ? 0.0005 : 0.1);
        flip(in_.worker_attached, in_.worker_attached ? 0.0005 : 0.1);
        flip(core_hangs_, core_hangs_ ? 0.1 : 0.001);
        flip(worker_hangs_, worker_hangs_ ? 0.05 : 0.001);
        flip(in_.core_armed, 0.01);
        flip(in_.estop.open[0], in_.estop.open[0] ? 0.1 : 0.0005);
        flip(in_.estop.open[1], in_.estop.open[1] ? 0.1 : 0.0005);
        if (chance(0.0005)) in_.estop.open = {true, true};
        flip(in_.estop.readable, in_.estop.readable ? 0.0003 : 0.1);
        flip(in_.enable_line_failed, in_.enable_line_failed ? 0.1 : 0.0003);
        flip(in_.drive_fault, in_.drive_fault ? 0.1 : 0.001);
        flip(sensor_dead_, sensor_dead_ ? 0.05 : 0.0003);
        in_.core_beat = in_.core_attached && !core_hangs_;
        in_.worker_beat = in_.worker_attached && !worker_hangs_;
        in_.core_lost = in_.core_attached && chance(0.0003);
        in_.worker_lost = in_.worker_attached && chance(0.0003);
        in_.controller_fault =
            chance(0.0003) ? shm::ControllerFault::kNotFinite : shm::ControllerFault::kNone;
        in_.operator_stop = chance(0.0005);
        in_.record_unreadable = chance(0.0001);
        flip(in_.record_behind, in_.record_behind ? 0.1 : 0.0005);
        in_.lost_stop = chance(0.0001) ? between<std::uint64_t>(1, 50) : 0;
        in_.reset = chance(0.02);
        in_.core_overruns = chance(0.002) ? between(1u, 6u) : 0;
        in_.health = {
            chance(0.2), {!sensor_dead_, between(20'000, chance(0.002) ? 100'000 : 80'000)}, {true, 0}};
        return in_;
    }

    // Hazards that one period shows by itself.
    static bool shows_hazard(const Inputs& in) {
        return in.record_unreadable || in.lost_stop != 0 || in.operator_stop || !in.estop.readable ||
               in.estop.open[0] || in.estop.open[1] || in.enable_line_failed || in.core_lost ||
               in.worker_lost || in.controller_fault == shm::ControllerFault::kNotFinite ||
               (in.drive_fault && in.core_armed) ||
               (in.health.temperature.known && in.health.temperature.value >= kHot);
    }

    void check(const Inputs& in, const Outputs& out) {
        const bool present = out.standing != StopCause::kNone;
        silent_ = in.core_beat || !in.core_attached ? 0 : silent_ + 1;
        heard_ = in.core_attached && (heard_ || in.core_beat);
        EXPECT_FALSE(out.arm_permitted && (present || out.latch_sequence != 0)) << "armed under a cause";
        EXPECT_FALSE(out.arm_permitted && in.record_behind) << "armed with a stop that would be forgotten";
        EXPECT_FALSE(out.reset_granted && present) << "reset with its cause present";
        EXPECT_FALSE(out.reset_granted && latched_ != 0 && in.core_attached && in.core_armed)
            << "reset before the core has stopped";
        EXPECT_EQ(out.reset_granted || out.reset_refused, in.reset) << "every reset is answered";
        EXPECT_TRUE(!latched_ || out.latch_sequence == latched_ || out.reset_granted) << "a latch got lost";
        EXPECT_TRUE(!shows_hazard(in) || out.latch_sequence != 0) << "a hazard without a stop";
        EXPECT_TRUE(!present || out.latch_sequence != 0) << "a cause without a stop";
        EXPECT_TRUE(out.standing != StopCause::kEstopDiscrepancy || out.cause == out.standing)
            << "a broken contact that a restart would forget";
        EXPECT_TRUE(!heard_ || silent_ < KernelDriver::kCorePeriods || out.latch_sequence != 0)
            << "silence without a stop";
        EXPECT_TRUE(!out.arm_permitted || out.enable);
        since_latch_ = out.newly_latched ? 1 : since_latch_ + 1;
        EXPECT_TRUE(!out.enable || out.arm_permitted || (out.latch_sequence != 0 && since_latch_ <= 15))
            << "power under a stop, beyond the delay";
        latched_ = out.latch_sequence;
        if (out.newly_latched) causes_.insert(out.cause);
    }

    std::mt19937 random_{GetParam()};
    Inputs in_{};
    bool core_hangs_{false}, worker_hangs_{false}, sensor_dead_{false}, heard_{false};
    int silent_{0}, since_latch_{0};
    std::uint64_t latched_{0};
    std::set<StopCause> causes_;
};

TEST_P(RandomLife, KeepsEveryPromise) {
    KernelDriver kernel = robot();
    int permitted = 0;
    for (int period = 0; period < kPeriods; ++period) {
        const Inputs in = next();
        const Outputs out = kernel.step(in);
        check(in, out);
        permitted += out.arm_permitted ? 1 : 0;
        ASSERT_FALSE(HasFailure()) << "seed " << GetParam() << ", period " << period;
    }
    EXPECT_GT(permitted, kPeriods / 20) << "the life went somewhere";
    EXPECT_GE(causes_.size(), 6u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLife, testing::Range(std::uint32_t{1}, std::uint32_t{25}));

}  // namespace
}  // namespace holdfast::safety
