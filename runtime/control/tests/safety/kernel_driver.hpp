// Drives the kernel period by period.
#pragma once

#include "safety/kernel.hpp"

namespace holdfast::safety {

struct KernelDriver {
    static constexpr std::int64_t kPeriodNs = 1'000'000;
    static constexpr int kCorePeriods = 5;
    static constexpr int kWorkerPeriods = 500;

    KernelConfig config{.period_ns = kPeriodNs,
                        .core_timeout_ns = kCorePeriods * kPeriodNs,
                        .worker_timeout_ns = kWorkerPeriods * kPeriodNs,
                        .worker_required = true,
                        .realtime_missing = false};
    State state{};
    std::int64_t now_ns{1'000'000'000};

    Outputs step(Inputs inputs) {
        now_ns += kPeriodNs;
        inputs.now_ns = now_ns;
        return safety::step(config, state, inputs);
    }

    // Both attached, nobody beats.
    [[nodiscard]] static Inputs quiet() {
        Inputs inputs{};
        inputs.core_attached = inputs.worker_attached = true;
        return inputs;
    }
    [[nodiscard]] static Inputs alive() {
        Inputs inputs = quiet();
        inputs.core_beat = inputs.worker_beat = true;
        return inputs;
    }
    [[nodiscard]] static Inputs armed() {
        Inputs inputs = alive();
        inputs.core_armed = true;
        return inputs;
    }

    // A stop by the operator; when it was latched.
    std::int64_t stop() {
        Inputs inputs = alive();
        inputs.operator_stop = true;
        step(inputs);
        return now_ns;
    }
    Outputs reset() {
        Inputs inputs = quiet();
        inputs.reset = true;
        return step(inputs);
    }
};

}  // namespace holdfast::safety
