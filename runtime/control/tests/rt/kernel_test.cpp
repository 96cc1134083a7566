// Each thing that real time needs, missing alone: one sentence that says what, where and how to mend it.
#include "rt/kernel.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rt/memory_lock.hpp"
#include "rt/realtime.hpp"
#include "temporary_directory.hpp"

namespace holdfast {
namespace {

constexpr const char* kClockSource = "sys/devices/system/clocksource/clocksource0/current_clocksource";
constexpr const char* kRuntime = "proc/sys/kernel/sched_rt_runtime_us";
constexpr const char* kLatency = "dev/cpu_dma_latency";
constexpr const char* kDeepState = "sys/devices/system/cpu/cpu0/cpuidle/state2/";

// The files of a machine with everything that is needed.
class Machine {
  public:
    Machine() {
        write("proc/version",
              "Linux version 7.3.4+deb13-rt-arm64 (gcc-14) #1 SMP PREEMPT_RT Debian 7.3.4-1\n");
        write(kClockSource, "tsc\n");
        write(kRuntime, "-1\n");
        write("proc/sys/kernel/sched_rt_period_us", "1000000\n");
    }
    void write(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories((root() / file).parent_path());
        std::ofstream(root() / file) << text;
    }
    [[nodiscard]] std::filesystem::path root() const { return directory_.path(); }
    [[nodiscard]] std::string text_of(const std::string& file) const {
        std::ifstream stream(root() / file, std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }
    // The sentences about it; the resolution of this host's own clock is not its matter.
    [[nodiscard]] std::vector<std::string> shortfalls() const {
        auto found = kernel_shortfalls(root());
        std::erase_if(found, [](const std::string& text) { return text.find("clock_getres") != text.npos; });
        return found;
    }

  private:
    TemporaryDirectory directory_;
};

void expect_one(const std::vector<std::string>& found, const std::string& what) {
    ASSERT_EQ(found.size(), 1u) << testing::PrintToString(found);
    EXPECT_NE(found[0].find(what), std::string::npos) << found[0];
    EXPECT_NE(found[0].find("; "), std::string::npos) << "does not say how to mend it: " << found[0];
}

TEST(Kernel, ThatHasEverythingIsNotComplainedAbout) {
    const Machine machine;
    EXPECT_EQ(machine.shortfalls(), std::vector<std::string>{});
    EXPECT_EQ(kernel_notes(machine.root()), std::vector<std::string>{});
}

TEST(Kernel, WithoutPreemptRt) {
    const Machine machine;
    for (const char* model : {"PREEMPT_DYNAMIC", "PREEMPT_RTX", ""}) {
        machine.write("proc/version",
                      "Linux version 6.12.1-rt-name (gcc-14) #1 SMP " + std::string(model) + " Debian\n");
        expect_one(machine.shortfalls(), "/proc/version");
    }
    std::filesystem::remove(machine.root() / "proc/version");
    expect_one(machine.shortfalls(), "/proc/version");
}

TEST(Kernel, WithAClockSourceThatIsCoarseSlowOrUnknown) {
    const Machine machine;
    for (const char* name : {"jiffies", "refined-jiffies", "hpet", "acpi_pm"}) {
        machine.write(kClockSource, name);
        expect_one(machine.shortfalls(), name);
    }
    std::filesystem::remove(machine.root() / kClockSource);
    expect_one(machine.shortfalls(), "not known");
    for (const char* name : {"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"})
        EXPECT_TRUE(clock_source_shortfalls(name).empty()) << name;
}

TEST(Kernel, WithoutHighResolutionTimers) {
    EXPECT_TRUE(clock_resolution_shortfalls(1).empty());
    expect_one(clock_resolution_shortfalls(4'000'000), "4000000 ns");
}

TEST(Kernel, ThatThrottlesRealTimeThreads) {
    const Machine machine;
    machine.write(kRuntime, "949000");
    expect_one(machine.shortfalls(), "94 %");
    machine.write(kRuntime, "950000");
    EXPECT_TRUE(machine.shortfalls().empty());
    expect_one(kernel_notes(machine.root()), "95 %");
    machine.write(kRuntime, "1000000");
    EXPECT_TRUE(kernel_notes(machine.root()).empty());
}

TEST(MemoryLock, IsBelievedWhenTheKernelSaysSo) {
    EXPECT_TRUE(memory_lock_shortfalls(0, "VmLck:\t  81920 kB\nCapEff:\t0\n", kNoMemoryLimit).empty());
    // CAP_IPC_LOCK is bit 14.
    EXPECT_TRUE(memory_lock_shortfalls(0, "VmLck:\t 8 kB\nCapEff:\t0000000000004000\n", 65536).empty());
}

TEST(MemoryLock, IsNotBelievedOtherwise) {
    expect_one(memory_lock_shortfalls(1, "", kNoMemoryLimit), "mlockall: Operation not permitted");
    expect_one(memory_lock_shortfalls(0, "VmLck:\t  0 kB\n", kNoMemoryLimit), "VmLck");
    expect_one(memory_lock_shortfalls(0, "VmLck:\t 8 kB\nCapEff:\tbfff\n", 8u << 20), "8192 KiB");
}

TEST(IdleLatency, IsHeldAtZeroWhileTheHoldLives) {
    const Machine machine;
    machine.write(kLatency, "????");
    machine.write(std::string(kDeepState) + "latency", "133");
    {
        const IdleLatencyHold hold(machine.root());
        EXPECT_TRUE(hold.shortfalls().empty());
        EXPECT_EQ(machine.text_of(kLatency), std::string(4, '\0'));
    }
}

TEST(IdleLatency, IsMissedOnlyWhereProcessorsSleepDeeply) {
    const Machine machine;
    EXPECT_TRUE(IdleLatencyHold(machine.root()).shortfalls().empty());
    machine.write(std::string(kDeepState) + "latency", "20");
    EXPECT_TRUE(IdleLatencyHold(machine.root()).shortfalls().empty());
    machine.write(std::string(kDeepState) + "latency", "21");
    expect_one(IdleLatencyHold(machine.root()).shortfalls(), "/dev/cpu_dma_latency");
    machine.write(std::string(kDeepState) + "disable", "1");
    EXPECT_TRUE(IdleLatencyHold(machine.root()).shortfalls().empty());
}

// Whatever this host allows: what is said is what the kernel says is in force.
TEST(ThreadShortfalls, AreWhatIsInForceAndNotWhatWasAskedFor) {
    expect_one(thread_shortfalls(50, -1), "SCHED_OTHER");
    const auto pinned = thread_shortfalls(50, 1023);
    ASSERT_EQ(pinned.size(), 2u);
    EXPECT_NE(pinned[1].find("cpu 1023"), std::string::npos);
}

}  // namespace
}  // namespace holdfast
