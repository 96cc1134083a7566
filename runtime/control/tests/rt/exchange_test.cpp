// What passes between threads is never torn, never old when new is there, and never lost unseen.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "rt/ring.hpp"
#include "rt/triple_buffer.hpp"

namespace holdfast {
namespace {

TEST(TripleBuffer, GivesTheNewestValue) {
    TripleBuffer<int> buffer;
    EXPECT_EQ(buffer.latest(), 0);
    for (int i = 1; i < 10; ++i) {
        buffer.writable() = -1;  // overtaken by the next one
        buffer.publish();
        buffer.writable() = i;
        buffer.publish();
        buffer.writable() = -2;  // not published
        EXPECT_EQ(buffer.latest(), i);
        EXPECT_EQ(buffer.latest(), i);
    }
}

TEST(TripleBuffer, IsNeverTornAndNeverGoesBack) {
    using Block = std::array<std::uint64_t, 64>;
    TripleBuffer<Block> buffer;
    constexpr std::uint64_t kLast = 20'000;
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= kLast; ++i) {
            buffer.writable().fill(i);
            buffer.publish();
        }
    });
    std::uint64_t last = 0;
    while (last != kLast) {
        const Block& block = buffer.latest();
        for (const std::uint64_t word : block) ASSERT_EQ(word, block.front());
        ASSERT_GE(block.front(), last);
        last = block.front();
    }
    writer.join();
}

TEST(Ring, KeepsOrderAndCountsWhatItDrops) {
    Ring<int, 4> ring;
    EXPECT_FALSE(ring.pop().has_value());
    for (int i = 0; i < 6; ++i) EXPECT_EQ(ring.push(i), i < 4);
    EXPECT_EQ(ring.dropped(), 2u);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(ring.pop(), i);
    EXPECT_FALSE(ring.pop().has_value());
    EXPECT_TRUE(ring.push(9));
    EXPECT_EQ(ring.pop(), 9);
}

TEST(Ring, LosesNothingBetweenTwoThreads) {
    Ring<std::uint64_t, 16> ring;
    constexpr std::uint64_t kCount = 20'000;
    std::thread writer([&] {
        for (std::uint64_t i = 0; i < kCount;) {
            if (ring.push(i)) {
                ++i;
            } else {
                std::this_thread::yield();
            }
        }
    });
    for (std::uint64_t expected = 0; expected < kCount;) {
        const auto entry = ring.pop();
        if (!entry) {
            std::this_thread::yield();
            continue;
        }
        ASSERT_EQ(*entry, expected++);
    }
    writer.join();
}

}  // namespace
}  // namespace holdfast
