#include "rt/kernel.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <limits>
#include <optional>

namespace holdfast {
namespace {

using Sentences = std::vector<std::string>;

constexpr const char* kClockSource = "sys/devices/system/clocksource/clocksource0/current_clocksource";
constexpr const char* kThrottleRuntime = "proc/sys/kernel/sched_rt_runtime_us";
constexpr const char* kThrottlePeriod = "proc/sys/kernel/sched_rt_period_us";
constexpr double kLeastShare = 0.95;
constexpr long kUnknownNs = std::numeric_limits<long>::max();

template <typename T>
std::optional<T> first_of(const std::filesystem::path& file) {
    std::ifstream stream(file);
    T value{};
    if (stream >> value) return value;
    return std::nullopt;
}

// The share of each period that real-time threads may use; empty: all of it.
std::optional<double> throttled_share(const std::filesystem::path& root) {
    const auto runtime = first_of<double>(root / kThrottleRuntime);
    const auto period = first_of<double>(root / kThrottlePeriod);
    if (!runtime || *runtime < 0.0 || !period || *period <= 0.0) return std::nullopt;
    return *runtime / *period;
}

std::string percent(double share) { return std::to_string(static_cast<int>(100.0 * share)) + " %"; }

long monotonic_resolution_ns() {
    timespec resolution{};
    if (clock_getres(CLOCK_MONOTONIC, &resolution) != 0 || resolution.tv_sec != 0) return kUnknownNs;
    return resolution.tv_nsec;
}

// /sys/kernel/realtime is not in kernels that have PREEMPT_RT without a patch.
bool is_preempt_rt(const std::filesystem::path& root) {
    std::ifstream stream(root / "proc/version");
    std::string word;
    while (stream >> word)
        if (word == "PREEMPT_RT") return true;
    return false;
}

void append(Sentences& all, const Sentences& more) { all.insert(all.end(), more.begin(), more.end()); }

}  // namespace

// Where these count, a reading is a slow device access, and on x86 the time stamp counter was given up.
Sentences clock_source_shortfalls(const std::string& name) {
    constexpr std::array kSlow{"hpet", "acpi_pm", "pit"};
    constexpr std::array kCoarse{"jiffies", "refined-jiffies"};
    const std::string place = " (/" + std::string(kClockSource) + ")";
    if (name.empty()) return {"the clock source is not known" + place + "; mount /sys where the core runs"};
    if (std::find(kCoarse.begin(), kCoarse.end(), name) != kCoarse.end())
        return {"the clock counts timer ticks: the source is " + name + place +
                "; boot a kernel with a driver for this machine's counter"};
    if (std::find(kSlow.begin(), kSlow.end(), name) != kSlow.end())
        return {"the clock is slow to read: the source is " + name + place +
                ", so the processor's own counter was found unstable or is switched off; look for \"tsc\" in "
                "dmesg, and boot with tsc=reliable only if it is"};
    return {};
}

Sentences clock_resolution_shortfalls(long resolution_ns) {
    if (resolution_ns <= 1) return {};
    const std::string found =
        resolution_ns == kUnknownNs ? "is not known" : "is " + std::to_string(resolution_ns) + " ns";
    return {"high-resolution timers are off: the resolution of CLOCK_MONOTONIC " + found +
            ", not 1 ns (clock_getres); boot a kernel with CONFIG_HIGH_RES_TIMERS and without highres=off"};
}

Sentences kernel_shortfalls(const std::filesystem::path& root) {
    Sentences found;
    if (!is_preempt_rt(root))
        found.emplace_back(
            "the kernel is not PREEMPT_RT (/proc/version does not say so); boot a real-time kernel");
    append(found, clock_source_shortfalls(first_of<std::string>(root / kClockSource).value_or("")));
    append(found, clock_resolution_shortfalls(monotonic_resolution_ns()));
    if (const auto share = throttled_share(root); share && *share < kLeastShare)
        found.push_back("the kernel stops real-time threads after " + percent(*share) + " of each period (/" +
                        kThrottleRuntime + "); set kernel.sched_rt_runtime_us = -1");
    return found;
}

Sentences kernel_notes(const std::filesystem::path& root) {
    const auto share = throttled_share(root);
    if (!share || *share < kLeastShare || *share >= 1.0) return {};
    return {"the kernel lets real-time threads use " + percent(*share) + " of each period (/" +
            kThrottleRuntime + "), which is enough for the loops; kernel.sched_rt_runtime_us = -1 gives all"};
}

}  // namespace holdfast
