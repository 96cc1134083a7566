#include "core/overrun_ladder.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "core/histogram.hpp"

namespace holdfast::core {
namespace {

TEST(OverrunLadder, FiresAtTheLimitWithinTheWindow) {
    OverrunLadder ladder(3, 100);
    EXPECT_FALSE(ladder.overrun(10));
    EXPECT_FALSE(ladder.overrun(50));
    EXPECT_TRUE(ladder.overrun(109));
}

TEST(OverrunLadder, DoesNotFireJustOutsideTheWindow) {
    OverrunLadder ladder(3, 100);
    EXPECT_FALSE(ladder.overrun(10));
    EXPECT_FALSE(ladder.overrun(50));
    EXPECT_FALSE(ladder.overrun(110));
    EXPECT_TRUE(ladder.overrun(149));
}

TEST(OverrunLadder, OfOneFiresAtOnce) {
    OverrunLadder ladder(1, 1);
    EXPECT_TRUE(ladder.overrun(7));
    EXPECT_TRUE(ladder.overrun(5000));
}

TEST(Histogram, PutsEachDurationIntoItsMicrosecond) {
    const auto histogram = std::make_unique<shm::Histogram>();
    for (const std::int64_t ns : {-5, 0, 999, 1'000, 9'999'999, 10'000'000, 2'000'000'000})
        record(*histogram, ns);
    EXPECT_EQ(histogram->bins[0].load(), 3u);
    EXPECT_EQ(histogram->bins[1].load(), 1u);
    EXPECT_EQ(histogram->bins[9'999].load(), 1u);
    EXPECT_EQ(histogram->bins[10'000].load(), 2u) << "the last bin takes everything above";
    EXPECT_EQ(histogram->count.load(), 7u);
    EXPECT_EQ(histogram->max_ns.load(), 2'000'000'000u);
}

}  // namespace
}  // namespace holdfast::core
