// What the loop's thread does around the loop.
#include "safety/loop_thread.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "test_process.hpp"

namespace holdfast::safety {
namespace {

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
        const LoopThread thread(1'000'000, 1, line, [&line](bool) { return Permitting{line}; });
        ASSERT_TRUE(eventually([&] { return line.is_high(); }));
    }
    EXPECT_FALSE(line.is_high()) << "whatever else of this process is still there";
}

}  // namespace
}  // namespace holdfast::safety
