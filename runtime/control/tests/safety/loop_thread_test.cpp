// What the loop's thread does around the loop.
#include "safety/loop_thread.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "rt/slots.hpp"
#include "test_process.hpp"

namespace {
// When the last sleep up to a moment of this program was to end; 0: there was none.
std::atomic<std::int64_t> g_last_wake_ns{0};
}  // namespace

extern "C" int clock_nanosleep(clockid_t clock, int flags, const timespec* until, timespec* rest) {
    if (flags == TIMER_ABSTIME) g_last_wake_ns = until->tv_sec * 1'000'000'000 + until->tv_nsec;
    return syscall(SYS_clock_nanosleep, clock, flags, until, rest) == 0 ? 0 : errno;
}

namespace holdfast::safety {
namespace {

constexpr std::int64_t kPeriodNs = 1'000'000;

// The enable line alone; read by the test while the thread sets it.
class EnableLine final : public Lines {
  public:
    [[nodiscard]] EstopReading read_estop() override { return {}; }
    [[nodiscard]] bool set_enable(bool high) override {
        high_ = high;
        return true;
    }
    [[nodiscard]] bool is_high() const { return high_; }

  private:
    std::atomic<bool> high_{false};
};

// A loop that sees nothing against motion.
struct Permitting {
    Lines& lines;
    void cycle(std::int64_t) { static_cast<void>(lines.set_enable(true)); }
};

TEST(LoopThread, LeavesTheDrivesWithoutPowerWhenItEnds) {
    EnableLine line;
    {
        const LoopThread thread(kPeriodNs, 1, line, [&line](bool) { return Permitting{line}; });
        ASSERT_TRUE(eventually([&] { return line.is_high(); }));
    }
    EXPECT_FALSE(line.is_high()) << "whatever else of this process is still there";
}

TEST(LoopThread, WakesInTheSlotThatTier1LeavesFree) {
    EnableLine line;
    g_last_wake_ns = 0;
    const LoopThread thread(kPeriodNs, 1, line, [&line](bool) { return Permitting{line}; });
    ASSERT_TRUE(eventually([&] { return line.is_high(); }));
    EXPECT_EQ(g_last_wake_ns % kPeriodNs, safety_slot_ns(kPeriodNs));
}

}  // namespace
}  // namespace holdfast::safety
