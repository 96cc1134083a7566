// The rules between channels at the drives' end of a real link: Tier-1 shows the shield every state, sends
// what it gives and publishes what it counts. The rules themselves: tests/shield.
#include "core/tier1.hpp"
#include "robot_rig.hpp"

namespace holdfast::core {
namespace {

using shm::Counter;

TEST(Zone, SlowsAndStopsWhatTheDrivesGetAndIsCounted) {
    RobotRig rig({}, "every_kind_and_zone.toml");
    rig.arm_and_turn();
    EXPECT_EQ(rig.counter(Counter::kShieldZoneSlow), 0u);
    // A joint that jumps is no joint: its estimate starts afresh before the distance counts again.
    rig.drives[kJoint].position = 0.2;
    rig.cycles(400);
    EXPECT_NEAR(rig.sent(kSpindle), 5.0, 1e-5);
    const std::uint64_t slowed = rig.counter(Counter::kShieldZoneSlow);
    rig.cycles(100);
    EXPECT_EQ(rig.counter(Counter::kShieldZoneSlow), slowed + 100);
    rig.drives[kJoint].position = 0.1;
    rig.cycles(400);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    const std::uint64_t stopped = rig.counter(Counter::kShieldZoneStop);
    rig.cycles(100);
    EXPECT_EQ(rig.counter(Counter::kShieldZoneStop), stopped + 100);
    EXPECT_EQ(rig.mode(), shm::Mode::kRunning) << "a zone is no e-stop";
    rig.drives[kJoint].position = 0.3;
    rig.cycles(400);
    EXPECT_NEAR(rig.sent(kSpindle), 10.0, 1e-5);
}

TEST(Zone, StopsWhenItsDistanceIsSilent) {
    RobotRig rig({}, "every_kind_and_zone.toml");
    rig.arm_and_turn();
    rig.drives[kJoint].talks = false;
    rig.cycles(400);
    EXPECT_EQ(rig.sent(kSpindle), 0.0);
    EXPECT_GT(rig.counter(Counter::kShieldZoneStop), 300u);
}

}  // namespace
}  // namespace holdfast::core
