// The estimate phase runs a thousand times a second in the loop: it may not allocate.
#include <gtest/gtest.h>

#include <cmath>
#include <new>

#include "counted_allocations.hpp"
#include "models.hpp"

namespace holdfast::estimate {
namespace {

TEST(Allocations, AreSeen) {
    const std::uint64_t before = allocations();
    ::operator delete(::operator new(1));
    EXPECT_GT(allocations(), before);
}

// Accepted, rejected, not finite, started afresh: every path of the joint filter.
TEST(Allocations, NoneInTheJointFilter) {
    JointFilter filter(joint_model());
    const std::uint64_t before = allocations();
    for (int i = 0; i < 10'000; ++i) {
        filter.predict(1e-3);
        const double position = i % 500 < 20 ? 0.9 : 0.3;
        filter.update({.position = i % 97 == 0 ? std::nan("") : position, .velocity = 0.0});
    }
    filter.starve();
    EXPECT_EQ(allocations(), before);
    EXPECT_GT(filter.counts().restarts, 0u);
}

TEST(Allocations, NoneInTheAttitudeFilter) {
    AttitudeFilter filter(attitude_model());
    const std::uint64_t before = allocations();
    for (int i = 0; i < 10'000; ++i) {
        filter.predict(1e-3, {0.1, -0.2, i % 97 == 0 ? std::nan("") : 0.3});
        if (i % 500 < 20) {
            filter.update({9.80665, 0.0, 0.0});
        } else {
            filter.update({0.0, 0.0, i % 89 == 0 ? 20.0 : 9.80665});
        }
    }
    filter.starve();
    EXPECT_EQ(allocations(), before);
    EXPECT_GT(filter.counts().restarts, 0u);
}

}  // namespace
}  // namespace holdfast::estimate
