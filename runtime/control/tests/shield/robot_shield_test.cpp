// What channels owe to each other (DESIGN rules 5 and 6), each rule by itself.
#include "whole_robot.hpp"

namespace holdfast {
namespace {

constexpr double kDt = 0.001;

// Only the named couplings, no workspace, no zone.
RobotConfig coupled(std::initializer_list<const char*> names) {
    RobotConfig robot = whole_robot();
    std::erase_if(robot.couplings, [&names](const Coupling& coupling) {
        return std::ranges::none_of(names, [&coupling](const char* name) { return coupling.name == name; });
    });
    robot.zones.clear();
    robot.workspace.reset();
    return robot;
}

RobotConfig in_its_workspace() {
    RobotConfig robot = coupled({});
    robot.workspace = arm_workspace();
    return robot;
}

TEST(Couplings, WithoutThemChannelsDoNotKnowEachOther) {
    WholeRobot robot(coupled({}));
    robot.wish[kA] = robot.wish[kB] = 1.0;
    robot.frames(4000);
    EXPECT_EQ(robot.sent(kA), 1.0);
    EXPECT_EQ(robot.sent(kB), 1.0);
    EXPECT_EQ(robot.shield.counts().coupling, 0u);
}

TEST(Couplings, ASumOfPositionsStaysWithinItsLimits) {
    WholeRobot robot(coupled({"together"}));
    robot.wish[kA] = robot.wish[kB] = 1.0;
    for (int i = 0; i < 4000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
    EXPECT_NEAR(robot.sent(kA) + robot.sent(kB), 0.6, 0.01) << "it gave up early";
    EXPECT_NEAR(robot.velocity(kA), 0.0, 1e-3);
    EXPECT_GT(robot.shield.counts().coupling, 0u);
    EXPECT_EQ(robot.shield.counts().conflict, 0u);
}

TEST(Couplings, WhatIsWithinThemIsNotSlowedDown) {
    WholeRobot free(coupled({}));
    WholeRobot robot(coupled({"together"}));
    for (WholeRobot* each : {&free, &robot}) {
        each->wish[kA] = 0.3;
        each->wish[kB] = 0.2;
    }
    for (int i = 0; i < 1500; ++i) {
        (void)free.frame(kDt);
        (void)robot.frame(kDt);
        ASSERT_EQ(free.sent(kA), robot.sent(kA));
        ASSERT_EQ(free.sent(kB), robot.sent(kB));
    }
    EXPECT_EQ(robot.shield.counts().coupling, 0u);
}

TEST(Couplings, ADifferenceOfVelocitiesStaysWithinItsLimits) {
    WholeRobot robot(coupled({"wheels"}));
    robot.wish[kLeft] = 2.0;
    robot.wish[kRight] = -2.0;
    for (int i = 0; i < 3000; ++i) {
        if (i == 1500) robot.wish[kLeft] = robot.wish[kRight] = 2.0;
        (void)robot.frame(kDt, i % 700 < 650);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
    EXPECT_GT(robot.shield.counts().coupling, 0u);
    EXPECT_EQ(robot.shield.counts().conflict, 0u);
}

TEST(Couplings, ASumOfEffortsStaysWithinItsLimits) {
    WholeRobot robot(coupled({"gripper"}));
    robot.wish[kGrip] = robot.wish[kSqueeze] = 2.0;
    for (int i = 0; i < 1000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
    EXPECT_NEAR(robot.sent(kGrip) + robot.sent(kSqueeze), 1.5, 0.05);
}

// Rule 6 for a channel is one for all that it is coupled with.
TEST(Couplings, AStaleChannelStopsThoseItIsCoupledWith) {
    WholeRobot robot(coupled({"together"}));
    robot.wish[kA] = 0.3;
    robot.wish[kB] = 0.2;
    robot.wish[kTurn] = 1.0;
    robot.frames(200);
    EXPECT_GT(robot.velocity(kA), 0.1);
    robot.state[kB].fresh = false;
    robot.frames(600);
    EXPECT_EQ(robot.velocity(kA), 0.0);
    EXPECT_EQ(robot.velocity(kB), 0.0);
    EXPECT_LT(robot.sent(kA), 0.29);
    EXPECT_GT(robot.velocity(kTurn), 0.5) << "a channel that owes nothing goes on";
}

TEST(Couplings, AWishThatIsNotFiniteStopsThoseItIsCoupledWith) {
    WholeRobot robot(coupled({"wheels"}));
    robot.wish[kLeft] = robot.wish[kRight] = 1.0;
    robot.frames(800);
    robot.wish[kLeft] = kNan;
    robot.frames(800);
    EXPECT_EQ(robot.sent(kLeft), 0.0);
    EXPECT_EQ(robot.sent(kRight), 0.0);
    EXPECT_EQ(robot.shield.counts().not_finite, 800u);
}

// Powered up outside: the way back is open, the way out is not.
TEST(Couplings, FromOutsideOnlyTheWayBackIsOpen) {
    WholeRobot robot(coupled({"together"}));
    robot.state[kA].value = robot.state[kB].value = 0.5;
    robot.wish[kA] = robot.wish[kB] = 0.9;
    robot.frames(500);
    EXPECT_EQ(robot.sent(kA), 0.5);
    EXPECT_EQ(robot.sent(kB), 0.5);
    EXPECT_EQ(robot.shield.counts().conflict, 500u);
    robot.wish[kA] = robot.wish[kB] = 0.1;
    double last = 1.0;
    for (int i = 0; i < 3000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_LE(robot.sent(kA) + robot.sent(kB), last + 1e-12);
        last = robot.sent(kA) + robot.sent(kB);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_NEAR(last, 0.2, 1e-9);
}

TEST(Mimic, TheFollowerGoesWithItsLeader) {
    WholeRobot robot(coupled({"mimic"}));
    for (int i = 0; i < 6000; ++i) {
        robot.wish[kLeader] = i < 2000 ? 0.7 : -0.5;
        robot.wish[kFollower] = 0.4;  // not what the coupling says
        (void)robot.frame(kDt, i % 1000 < 900);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
    EXPECT_NEAR(robot.sent(kLeader), -0.5, 1e-9);
    EXPECT_NEAR(robot.sent(kFollower), 0.35, 1e-9);
    EXPECT_GT(robot.shield.counts().coupling, 0u);
    EXPECT_EQ(robot.shield.counts().conflict, 0u);
}

TEST(Mimic, AFollowersOwnWishThatFitsIsNotCounted) {
    WholeRobot robot(coupled({"mimic"}));
    robot.wish[kLeader] = 0.6;
    robot.wish[kFollower] = -0.2;
    robot.frames(3000);
    EXPECT_EQ(robot.shield.counts().coupling, 0u);
    EXPECT_NEAR(robot.sent(kLeader), 0.6, 1e-12);
    EXPECT_NEAR(robot.sent(kFollower), -0.2, 1e-12);
}

TEST(Mimic, TheLeaderStaysWhereItsFollowerCanBe) {
    WholeRobot robot(coupled({"mimic"}));
    robot.wish[kLeader] = 1.0;
    for (int i = 0; i < 4000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
    EXPECT_NEAR(robot.sent(kLeader), 0.8, 1e-9) << "the follower's limit is -0.3";
    EXPECT_NEAR(robot.sent(kFollower), -0.3, 1e-9);
}

TEST(Mimic, OutOfToleranceTheLeaderWaitsForItsFollower) {
    WholeRobot robot(coupled({"mimic"}));
    robot.state[kFollower].value = 0.0;
    robot.wish[kLeader] = 0.5;
    for (int i = 0; i < 200; ++i) {
        (void)robot.frame(kDt);
        if (std::abs(robot.sent(kFollower) - 0.1) > 2e-3) {
            ASSERT_EQ(robot.sent(kLeader), 0.0);
        }
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_GT(robot.shield.counts().conflict, 0u);
    robot.frames(2000);
    EXPECT_NEAR(robot.sent(kLeader), 0.5, 1e-9);
    EXPECT_NO_FATAL_FAILURE(robot.check_couplings());
}

TEST(Mimic, AStopHoldsBothInOnePlace) {
    WholeRobot robot(coupled({"mimic"}));
    robot.wish[kLeader] = 0.7;
    robot.frames(500);
    for (int i = 0; i < 2000; ++i) {
        (void)robot.frame(kDt, false);
        robot.state[kLeader].value = robot.sent(kLeader) - 5e-4;  // what the axes' load does
        robot.state[kFollower].value = robot.sent(kFollower) - 5e-4;
        ASSERT_NO_FATAL_FAILURE(robot.check_couplings());
    }
}

// One leader with the followers kA and kB; the first mimic names `first`.
RobotConfig two_followers(Channel first) {
    RobotConfig robot = coupled({});
    for (const std::size_t c : {kA, kB}) {
        robot.commands[c] = robot.commands[kFollower];
        robot.commands[c].name = c == kA ? "a" : "b";
        robot.commands[c].position_state = c;
    }
    for (const Channel c : {first, first == kA ? kB : kA}) {
        Coupling mimic = whole_robot().couplings.front();
        mimic.name = "mimic of " + robot.commands[c].name;
        mimic.channels = {kLeader, c};
        robot.couplings.push_back(mimic);
    }
    return robot;
}

class TwoFollowers : public ::testing::TestWithParam<Channel> {  // which of them the first mimic names
  protected:
    TwoFollowers() {
        robot_.state[kA].value = robot_.state[kB].value = 0.1;
        robot_.wish[kLeader] = 0.5;
        robot_.wish[kA] = robot_.wish[kB] = 0.4;  // not what the coupling says
    }
    static double place(double leader) { return -0.5 * leader + 0.1; }

    void expect_arrival() {
        robot_.frames(3000);
        EXPECT_NEAR(robot_.sent(kLeader), 0.5, 1e-9) << "it waits for ever";
        EXPECT_NEAR(robot_.sent(kA), -0.15, 1e-9);
        EXPECT_NEAR(robot_.sent(kB), -0.15, 1e-9);
        EXPECT_NO_FATAL_FAILURE(robot_.check_couplings());
    }
    WholeRobot robot_{two_followers(GetParam())};
};

TEST_P(TwoFollowers, WhileOneIsWaitedForTheOtherStaysWithItsLeader) {
    robot_.state[kA].value = 0.0;
    for (int i = 0; i < 300; ++i) {
        (void)robot_.frame(kDt);
        if (std::abs(robot_.sent(kA) - 0.1) > 2e-3) {
            ASSERT_EQ(robot_.sent(kLeader), 0.0) << "frame " << i;
            ASSERT_EQ(robot_.sent(kB), 0.1) << "frame " << i;
        }
        ASSERT_NEAR(robot_.sent(kB), place(robot_.sent(kLeader)), 1e-3 + 1e-7) << "frame " << i;
        ASSERT_NO_FATAL_FAILURE(robot_.check_channels());
    }
    expect_arrival();
}

// A drive that was enabled anew starts from where it is.
TEST_P(TwoFollowers, OneThatFallsBehindInMotionStopsAllInOneMotion) {
    robot_.frames(400);
    ASSERT_GT(robot_.velocity(kLeader), 0.3);
    robot_.shield.forget(kA);
    robot_.state[kA].value += 0.05;
    bool waited = false;
    for (int i = 0; i < 1000; ++i) {
        (void)robot_.frame(kDt);
        waited = waited || robot_.velocity(kLeader) == 0.0;
        ASSERT_NEAR(robot_.sent(kB), place(robot_.sent(kLeader)), 1e-3 + 1e-7) << "frame " << i;
        ASSERT_NO_FATAL_FAILURE(robot_.check_channels());
    }
    EXPECT_TRUE(waited);
    expect_arrival();
}

INSTANTIATE_TEST_SUITE_P(Orders, TwoFollowers, ::testing::Values(kA, kB));

// Two wheels on one rail: what they measure has no common zero, and their tolerance is a velocity.
RobotConfig rail() {
    RobotConfig robot;
    for (std::size_t c = 0; c < 2; ++c) {
        CommandChannel channel = other_channel(c == 0 ? "ahead" : "behind", ChannelKind::kVelocity, 1.0, 2.0);
        channel.position_limits = Range{-1.0, c == 0 ? 5.0 : 1.0};
        channel.position_state = c;
        robot.commands.push_back(channel);
        robot.states.push_back({.name = channel.name + ".position",
                                .unit = "m",
                                .drive = c,
                                .quantity = Quantity::kPosition,
                                .limits = {-9.0, 9.0},
                                .max_age_ns = 20'000'000});
    }
    robot.couplings = {{.name = "rail",
                        .channels = {0, 1},
                        .factors = {-1.0, 1.0},
                        .limits = {-0.5, 0.5},
                        .mimic = true,
                        .multiplier = 1.0,
                        .offset = 0.0,
                        .tolerance = 0.5}};
    return robot;
}

// Hazard: a follower that is judged by its leader's position runs past its own limit by all they differ.
TEST(Mimic, AFollowerOfAVelocityIsJudgedByItsOwnPosition) {
    for (const double jerk : {0.0, 50.0}) {
        RobotConfig config = rail();
        for (CommandChannel& channel : config.commands) {
            if (jerk > 0.0) channel.max_jerk = jerk;
        }
        Shield shield(config);
        std::vector<StateSample> state{{0.0, true}, {0.3, true}};
        const std::vector<double> wish{1.0, 1.0};
        for (int i = 0; i < 5000; ++i) {
            const auto sent = shield.filter({.wish = wish, .set = 3, .state = state, .follow = true}, kDt);
            for (std::size_t c = 0; c < 2; ++c) state[c].value += sent[c] * kDt;
            ASSERT_LE(state[1].value, 1.0 + 1e-9) << "frame " << i;
            ASSERT_LE(std::abs(sent[1] - sent[0]), 0.5 + 1e-9) << "frame " << i;
        }
        EXPECT_GT(state[1].value, 0.95) << "it gave up early";
        EXPECT_EQ(shield.counts().conflict, 0u);
    }
}

double slowest_stop_s(const CommandChannel& channel) {
    return channel.max_rate / channel.max_accel + channel.max_accel / channel.max_jerk.value_or(1e9) + 0.1;
}

TEST(ZoneRule, SlowsEveryChannelDownInProportion) {
    RobotConfig config = coupled({});
    config.zones = whole_robot().zones;
    WholeRobot robot(config);
    robot.wish[kTurn] = 3.0;
    robot.wish[kLeft] = 2.0;
    robot.wish[kGrip] = 1.0;
    robot.frames(700);
    EXPECT_NEAR(robot.velocity(kTurn), 1.5, 1e-9);
    robot.state[kNearest].value = 0.75;  // a quarter of the way from 0.5 to 1.5
    for (int i = 0; i < 800; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_NEAR(robot.velocity(kTurn), 0.25 * 1.5, 1e-9);
    EXPECT_NEAR(robot.sent(kLeft), 0.25 * 2.0, 1e-9);
    EXPECT_EQ(robot.sent(kGrip), 1.0) << "effort is no speed";
    EXPECT_EQ(robot.shield.counts().zone_slow, 800u);
    robot.state[kNearest].value = 2.0;
    for (int i = 0; i < 300; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_GT(robot.velocity(kTurn), 0.9);
}

TEST(ZoneRule, AFactorOfItsOwnReplacesTheProportion) {
    RobotConfig config = coupled({});
    config.zones = whole_robot().zones;
    config.zones[0].slow_factor = 0.1;
    WholeRobot robot(config);
    robot.state[kNearest].value = 1.4;
    robot.wish[kTurn] = 3.0;
    robot.frames(700);
    EXPECT_NEAR(robot.velocity(kTurn), 0.15, 1e-9);
}

TEST(ZoneRule, AStopLastsUntilTheDistanceIsClearlyEnough) {
    RobotConfig config = coupled({});
    config.zones = whole_robot().zones;
    WholeRobot robot(config);
    robot.wish[kTurn] = 3.0;
    robot.wish[kLeft] = 2.0;
    robot.wish[kGrip] = 1.0;
    robot.frames(600);
    robot.state[kNearest].value = 0.499;
    (void)robot.frame(kDt);
    EXPECT_EQ(robot.sent(kGrip), 0.0) << "the safe frame of an effort";
    for (int i = 0; i < 1000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_EQ(robot.velocity(kTurn), 0.0);
    EXPECT_EQ(robot.sent(kLeft), 0.0);
    const double held = robot.sent(kTurn);
    robot.state[kNearest].value = 0.55;  // above the limit, not above its hysteresis
    robot.frames(100);
    EXPECT_EQ(robot.sent(kTurn), held);
    EXPECT_EQ(robot.shield.counts().zone_stop, 1101u);
    robot.state[kNearest].value = 0.61;
    for (int i = 0; i < 300; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
    }
    EXPECT_GT(robot.sent(kTurn), held) << "it goes on by itself, within its rates";
    robot.state[kNearest].value = 0.55;
    robot.frames(10);
    EXPECT_EQ(robot.shield.counts().zone_stop, 1101u);
}

// Rule 6: nothing known is a hazard. A depth camera in the dark reports zeros.
TEST(ZoneRule, ADistanceThatIsNotKnownStops) {
    for (const StateSample& sample :
         {StateSample{9.0, false}, StateSample{kNan, true}, StateSample{kInf, true}, StateSample{0.0, true},
          StateSample{-1.0, true}}) {
        RobotConfig config = coupled({});
        config.zones = whole_robot().zones;
        WholeRobot robot(config);
        robot.wish[kTurn] = 3.0;
        robot.frames(600);
        EXPECT_GT(robot.velocity(kTurn), 1.0);
        robot.state[kNearest] = sample;
        robot.frames(static_cast<int>(slowest_stop_s(robot.config.commands[kTurn]) * 1e3));
        EXPECT_EQ(robot.velocity(kTurn), 0.0) << sample.value << sample.fresh;
    }
}

// Boundary sweep (TESTS 2).
TEST(ZoneRule, EveryDistanceGivesItsSpeed) {
    Zones zones(whole_robot().zones);
    std::vector<StateSample> state(kNearest + 1, StateSample{0.0, true});
    std::vector<double> distances;
    for (const double limit : {0.5, 0.6, 1.5}) {
        for (int step = -5; step <= 5; ++step) distances.push_back(limit + step * 1e-9);
    }
    for (int i = 0; i <= 100; ++i) distances.push_back(2.0 * i / 100.0);
    for (const double distance : distances) {
        for (const bool after_a_stop : {false, true}) {
            state[kNearest].value = after_a_stop ? 0.1 : 9.0;
            (void)zones.look(state);
            state[kNearest].value = distance;
            const ZoneVerdict verdict = zones.look(state);
            EXPECT_EQ(verdict.stop, distance < (after_a_stop ? 0.6 : 0.5)) << distance;
            if (!verdict.stop) {
                EXPECT_NEAR(verdict.speed_scale, std::clamp(distance - 0.5, 0.0, 1.0), 1e-12);
            }
        }
    }
}

TEST(WorkspaceRuleTest, TheTipStopsBeforeTheBoxEnds) {
    WholeRobot robot(in_its_workspace());
    ASSERT_NO_FATAL_FAILURE(robot.check_workspace());
    robot.wish[kTurn] = 3.0;
    robot.wish[kLift] = 1.5;
    robot.wish[kSlide] = 0.3;
    for (int i = 0; i < 5000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_channels());
        ASSERT_NO_FATAL_FAILURE(robot.check_workspace());
    }
    EXPECT_NEAR(robot.velocity(kTurn), 0.0, 1e-3);
    EXPECT_LT(robot.sent(kTurn), 2.0);
    EXPECT_GT(robot.shield.counts().workspace, 0u);
    EXPECT_EQ(robot.shield.counts().conflict, 0u);
}

TEST(WorkspaceRuleTest, TheTipComesCloseAndNoFurther) {
    RobotConfig config = in_its_workspace();
    config.workspace->keep_out.clear();
    config.workspace->boxes = {{{-2.0, -2.0, -2.0}, {0.60, 2.0, 2.0}}};  // a wall ahead
    WholeRobot robot(config);
    const double before = robot.tip().x();
    ASSERT_LT(before, 0.58);
    robot.wish[kSlide] = 0.3;
    for (int i = 0; i < 4000; ++i) {
        (void)robot.frame(kDt);
        ASSERT_NO_FATAL_FAILURE(robot.check_workspace());
    }
    EXPECT_NEAR(robot.tip().x(), 0.59, 1e-3) << "box less margin";
}

// Hazard of a check that is too careful: whoever came close could never leave.
TEST(WorkspaceRuleTest, TheTipLeavesTheWallItCameTo) {
    RobotConfig config = in_its_workspace();
    config.workspace->keep_out.clear();
    config.workspace->boxes = {{{-2.0, -2.0, -2.0}, {0.60, 2.0, 2.0}}};
    WholeRobot robot(config);
    for (const double wish : {0.3, -0.1, 0.3, -0.1}) {
        robot.wish[kSlide] = wish;
        robot.frames(2500);
    }
    EXPECT_NEAR(robot.sent(kSlide), -0.1, 1e-9);
}

TEST(WorkspaceRuleTest, AKeepOutIsNotEnteredNorJumpedOver) {
    RobotConfig config = in_its_workspace();
    config.workspace->boxes.clear();
    config.workspace->keep_out = {{{-2.0, 0.250, -2.0}, {2.0, 0.252, 2.0}}};  // a pane: 2 mm
    config.workspace->margin_m = 0.0;
    for (const double dt_s : {0.001, 0.05, 0.1}) {
        WholeRobot robot(config);
        robot.wish[kTurn] = 3.0;
        for (int i = 0; i < static_cast<int>(4.0 / dt_s); ++i) {
            (void)robot.frame(dt_s);
            ASSERT_LE(robot.tip().y(), 0.250 + 1e-9) << dt_s;
        }
        if (dt_s < 0.01) {
            EXPECT_GT(robot.tip().y(), 0.24);
        }
    }
}

TEST(WorkspaceRuleTest, BoxesThatOverlapCanBePassedThrough) {
    RobotConfig config = in_its_workspace();
    config.workspace->keep_out.clear();
    config.workspace->margin_m = 0.01;
    config.workspace->boxes = {{{-2.0, -2.0, -2.0}, {2.0, 0.20, 2.0}}, {{-2.0, 0.10, -2.0}, {2.0, 2.0, 2.0}}};
    WholeRobot robot(config);
    robot.wish[kTurn] = 1.0;
    robot.frames(3000);
    EXPECT_NEAR(robot.sent(kTurn), 1.0, 1e-9);
    config.workspace->boxes[1].min[1] = 0.21;  // now there is a gap
    WholeRobot stopped(config);
    stopped.wish[kTurn] = 1.0;
    stopped.frames(3000);
    EXPECT_LE(stopped.tip().y(), 0.19 + 1e-9);
}

TEST(WorkspaceRuleTest, FromOutsideOnlyTheWayBackIsOpen) {
    RobotConfig config = in_its_workspace();
    config.workspace->keep_out.clear();
    config.workspace->boxes = {{{-2.0, -2.0, -2.0}, {2.0, 0.05, 2.0}}};
    config.workspace->margin_m = 0.0;
    WholeRobot robot(config);
    robot.state[kTurn].value = 0.5;
    robot.wish[kTurn] = 1.0;
    robot.frames(500);
    EXPECT_EQ(robot.sent(kTurn), 0.5);
    EXPECT_GT(robot.shield.counts().conflict, 0u);
    robot.wish[kTurn] = -0.3;
    robot.frames(3000);
    EXPECT_NEAR(robot.sent(kTurn), -0.3, 1e-9);
}

TEST(WorkspaceRuleTest, AJointThatIsNotKnownStopsTheArm) {
    RobotConfig config = in_its_workspace();
    config.workspace->sources[2] = {.command = {}, .state = kNearest};  // measured only
    WholeRobot robot(config);
    robot.state[kNearest].value = 0.0;
    robot.wish[kTurn] = -0.5;
    robot.frames(200);
    EXPECT_LT(robot.velocity(kTurn), -0.2);
    robot.state[kNearest].fresh = false;
    robot.frames(600);
    EXPECT_EQ(robot.velocity(kTurn), 0.0);
    EXPECT_GT(robot.sent(kTurn), -0.49);
}

TEST(WorkspaceRuleTest, AVelocityJointIsStoppedByItsMeasuredPosition) {
    RobotConfig config = in_its_workspace();
    CommandChannel& slide = config.commands[kSlide];
    slide.kind = ChannelKind::kVelocity;
    slide.limits = {-0.5, 0.5};
    config.workspace->keep_out.clear();
    config.workspace->boxes = {{{-2.0, -2.0, -2.0}, {0.60, 2.0, 2.0}}};
    WholeRobot robot(config);
    double position = 0.0;
    robot.wish[kSlide] = 0.5;
    for (int i = 0; i < 3000; ++i) {
        robot.state[kSlide] = {position, true};
        position += robot.frame(kDt)[kSlide] * kDt;
        kinematics::Forward forward(config.workspace->model, config.workspace->tools);
        const std::array q{robot.sent(kTurn), robot.sent(kLift), position, 0.0};
        std::array<Eigen::Vector3d, 1> tip;
        forward.place(q, tip);
        ASSERT_LE(tip[0].x(), 0.59 + 1e-9);
    }
    EXPECT_GT(position, 0.01);
}

TEST(ShieldObject, GivesNothingForAPositionThatWasNeverMeasured) {
    WholeRobot robot;
    robot.state[kTurn] = {kNan, false};
    robot.frames(3);
    EXPECT_FALSE(robot.shield.has_value(kTurn));
    EXPECT_TRUE(robot.shield.has_value(kA));
    robot.state[kTurn] = {0.4, true};
    robot.frames(3);
    EXPECT_TRUE(robot.shield.has_value(kTurn));
    EXPECT_EQ(robot.velocity(kLift), 0.0);
}

TEST(ShieldObject, StartsAgainFromTheMeasurementWhenTold) {
    WholeRobot robot(coupled({}));
    robot.wish[kA] = 0.5;
    robot.frames(2000);
    robot.state[kA].value = -0.2;
    robot.shield.forget(kA);
    robot.wish[kA] = -0.2;
    EXPECT_EQ(robot.frame(kDt)[kA], -0.2);
}

TEST(ShieldObject, AChannelThatIsNotSetHoldsOrTakesItsDefault) {
    RobotConfig config = coupled({});
    config.commands[kLeft].default_value = 0.3;
    WholeRobot robot(config);
    robot.wish[kA] = 0.5;
    robot.frames(300);
    robot.set = 0;
    robot.frames(2000);
    EXPECT_EQ(robot.velocity(kA), 0.0);
    EXPECT_LT(robot.sent(kA), 0.5);
    EXPECT_NEAR(robot.sent(kLeft), 0.3, 1e-9);
}

}  // namespace
}  // namespace holdfast
