// What goes wrong in the plant on request, and that a seed repeats it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "drive/cansimple.hpp"
#include "drive/profile.hpp"
#include "plant/control.hpp"
#include "plant/plant.hpp"
#include "sensor/frames.hpp"
#include "temporary_directory.hpp"
#include "test_robot.hpp"

namespace holdfast::plant {
namespace {

using nlohmann::json;

constexpr std::size_t kJoint = 0, kGripper = 2;

RobotConfig robot_with_sensors() {
    RobotConfig robot = test_robot();
    robot.sensors = {
        {.name = "imu", .link = "unix:plant.sock", .profile = SensorProfile::kImu, .node = 20},
        {.name = "gate", .link = "unix:plant.sock", .profile = SensorProfile::kDistance, .node = 21}};
    return robot;
}

// What a host hears of one drive and of the distance sensor, period by period.
struct Period {
    std::optional<double> position;
    bool heartbeat{false};
    std::uint32_t error{0};
    std::optional<double> distance;
    int joint_frames{0};
    bool operator==(const Period&) const = default;
};

class PlantFaults : public testing::Test {
  protected:
    void start(std::optional<std::uint64_t> seed = {}) {
        link_.reset();
        plant_.reset();
        plant_ = std::move(Plant::open(robot_, directory_.path(), seed, nullptr).value());
        link_ = std::move(open_link("unix:plant.sock", "core", directory_.path()).value());
        hear_hosts();
    }
    // The plant takes in what has been sent to it.
    void hear_hosts() { plant_->receive_until(0); }
    Period step() {
        plant_->step(1);
        Period period;
        CanFrame frame;
        while (link_->receive(frame) == LinkResult::kOk) {
            if (cansimple::node_of(frame) == robot_.drives[kJoint].node) ++period.joint_frames;
            if (const auto sample = cansimple::decode(robot_.drives[kJoint], frame)) {
                if (sample->position) period.position = sample->position;
                if (sample->axis_error) period.error = *sample->axis_error;
                period.heartbeat = period.heartbeat || sample->heartbeat;
            }
            if (const auto reading = sensor::decode(robot_.sensors[1], frame))
                period.distance = reading->values[0].value;
        }
        return period;
    }
    std::vector<Period> steps(int count) {
        std::vector<Period> all;
        for (int i = 0; i < count; ++i) all.push_back(step());
        return all;
    }
    json ask(const json& request) { return answer(*plant_, nullptr, request); }
    void expect_done(const json& request) {
        const json reply = ask(request);
        EXPECT_EQ(reply["ok"], true) << reply.dump();
    }
    void expect_refused(const json& request, const std::string& part) {
        const json reply = ask(request);
        EXPECT_EQ(reply["ok"], false) << request.dump();
        EXPECT_NE(reply["error"].get<std::string>().find(part), std::string::npos) << reply.dump();
    }
    void send(const CanFrame& frame) {
        ASSERT_EQ(link_->send(frame), LinkResult::kOk);
        hear_hosts();
    }

    TemporaryDirectory directory_;
    RobotConfig robot_ = robot_with_sensors();
    std::unique_ptr<Plant> plant_;
    std::unique_ptr<Link> link_;
};

TEST_F(PlantFaults, WithoutAnyEveryPeriodReports) {
    start();
    const auto heard = steps(200);
    for (const Period& period : heard) {
        EXPECT_EQ(period.position, 0.0);
        EXPECT_EQ(period.distance, 5.0);
    }
    EXPECT_EQ(std::count_if(heard.begin(), heard.end(), [](const Period& p) { return p.heartbeat; }), 3);
}

TEST_F(PlantFaults, ASilentDriveNeitherSpeaksNorHears) {
    start();
    (void)steps(5);
    expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "silent"}, {"for_ms", 50}});
    for (const Period& period : steps(49)) EXPECT_EQ(period.joint_frames, 0);
    std::array<CanFrame, cansimple::kMaxEnableFrames> enable;
    cansimple::enable_frames(robot_.drives[kJoint], ChannelKind::kPosition, enable);
    for (const CanFrame& frame : enable) send(frame);
    EXPECT_EQ(plant_->status()["drives"]["joint"]["axis_state"], "idle");
    (void)steps(2);
    EXPECT_EQ(step().joint_frames, 1) << "it does not come back";
}

TEST_F(PlantFaults, AnAxisErrorIsReportedAndTakesTheTorque) {
    start();
    std::array<CanFrame, cansimple::kMaxEnableFrames> enable;
    cansimple::enable_frames(robot_.drives[kJoint], ChannelKind::kPosition, enable);
    for (const CanFrame& frame : enable) send(frame);
    ASSERT_EQ(plant_->status()["drives"]["joint"]["axis_state"], "closed_loop");
    expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "axis_error"}, {"code", 0x200}});
    std::uint32_t error = 0;
    for (const Period& period : steps(101)) error |= period.error;
    EXPECT_EQ(error, 0x200u);
    EXPECT_EQ(plant_->status()["drives"]["joint"]["axis_state"], "idle");
}

TEST_F(PlantFaults, LostFramesComeFromTheSeed) {
    const auto run = [this](std::uint64_t seed) {
        start(seed);
        expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "lost"}, {"probability", 0.3}});
        return steps(500);
    };
    const auto first = run(7);
    EXPECT_EQ(first, run(7));
    EXPECT_NE(first, run(8));
    const auto arrived =
        std::count_if(first.begin(), first.end(), [](const Period& p) { return p.position.has_value(); });
    EXPECT_GT(arrived, 300);
    EXPECT_LT(arrived, 400);
    EXPECT_GT(plant_->status()["drives"]["joint"]["frames_lost"], 100);
}

TEST_F(PlantFaults, LateFramesComeInOrderAfterTheirDelay) {
    start();
    expect_done({{"op", "fault"}, {"device", "gate"}, {"kind", "late"}, {"delay_ms", 7}});
    for (int i = 0; i < 20; ++i) {
        expect_done({{"op", "measure"}, {"sensor", "gate"}, {"quantity", "distance"}, {"value", i}});
        const Period period = step();
        EXPECT_EQ(period.distance.has_value(), i >= 7) << i;
        if (period.distance) {
            EXPECT_EQ(*period.distance, i - 7);
        }
    }
}

TEST_F(PlantFaults, AFrozenSensorRepeatsItself) {
    start();
    (void)step();
    expect_done({{"op", "fault"}, {"device", "gate"}, {"kind", "freeze"}});
    expect_done({{"op", "measure"}, {"sensor", "gate"}, {"quantity", "distance"}, {"value", 0.2}});
    EXPECT_EQ(step().distance, 5.0);
    expect_done({{"op", "clear_faults"}, {"device", "gate"}});
    EXPECT_NEAR(step().distance.value(), 0.2, 1e-6);
}

TEST_F(PlantFaults, NanNeverBecomesASample) {
    start();
    expect_done({{"op", "fault"}, {"kind", "nan"}});
    for (const Period& period : steps(20)) {
        EXPECT_GT(period.joint_frames, 0);
        EXPECT_FALSE(period.position || period.distance);
    }
}

TEST_F(PlantFaults, ALoadPullsAnIdleJointDown) {
    start();
    expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "load"}, {"effort", -0.5}});
    (void)steps(500);
    EXPECT_LT(plant_->status()["drives"]["joint"]["position"], -0.01);
}

TEST_F(PlantFaults, AScheduledFaultBeginsInItsPeriod) {
    start();
    expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "silent"}, {"at_ms", 10}, {"for_ms", 5}});
    for (int period = 1; period <= 20; ++period)
        EXPECT_EQ(step().joint_frames == 0, period >= 10 && period < 15) << period;
}

TEST_F(PlantFaults, ClearingForgetsWhatIsStillToCome) {
    start();
    expect_done({{"op", "fault"}, {"device", "joint"}, {"kind", "silent"}, {"at_ms", 10}});
    expect_done({{"op", "clear_faults"}});
    for (const Period& period : steps(20)) EXPECT_GT(period.joint_frames, 0);
}

TEST_F(PlantFaults, NoiseAndQuantisationComeFromTheSeed) {
    start(3);
    const auto first = steps(50);
    start(3);
    EXPECT_EQ(first, steps(50));
    EXPECT_NE(first[0].position, first[1].position);
    const double counts = first[0].position.value() * 2.0 * 16'384.0;
    EXPECT_NEAR(counts, std::nearbyint(counts), 1e-2);
}

TEST_F(PlantFaults, StatusShowsWhatIsWrong) {
    start();
    expect_done({{"op", "fault"}, {"device", "imu"}, {"kind", "freeze"}});
    const json status = ask({{"op", "status"}});
    EXPECT_EQ(status["sensors"]["imu"]["faults"], json::array({"freeze"}));
    EXPECT_NEAR(status["sensors"]["imu"]["acceleration_z"].get<double>(), 9.80665, 1e-9);
    EXPECT_EQ(status["drives"]["joint"]["faults"], json::array());
}

TEST_F(PlantFaults, WhatWouldDoNothingIsRefusedWithTheReason) {
    robot_.drives[kGripper].profile = "cia402";
    robot_.drives[kGripper].counts_per_turn = 1000.0;
    robot_.commands[kGripper].kind = ChannelKind::kVelocity;
    start();
    expect_refused({{"op", "fault"}, {"device", "ankle"}, {"kind", "silent"}},
                   "no drive or sensor \"ankle\"");
    expect_refused({{"op", "fault"}, {"device", "joint"}, {"kind", "tired"}}, "\"kind\" must be");
    expect_refused({{"op", "fault"}, {"device", "joint"}}, "\"kind\" must be");
    expect_refused({{"op", "fault"}, {"device", "joint"}, {"kind", "lost"}}, "\"probability\" must be");
    expect_refused({{"op", "fault"}, {"device", "joint"}, {"kind", "lost"}, {"probability", 1.5}},
                   "from 0.0 to 1.0");
    expect_refused({{"op", "fault"}, {"device", "joint"}, {"kind", "silent"}, {"probability", 1}},
                   "not a key");
    expect_refused({{"op", "fault"}, {"device", "joint"}, {"kind", "silent"}, {"for_ms", -1}}, "\"for_ms\"");
    expect_refused({{"op", "fault"}, {"device", "gate"}, {"kind", "axis_error"}, {"code", 1}},
                   "needs a drive");
    expect_refused({{"op", "fault"}, {"kind", "axis_error"}, {"code", 1}}, "needs a drive");
    expect_refused({{"op", "fault"}, {"device", "gripper"}, {"kind", "nan"}}, "cannot send NaN");
    expect_refused({{"op", "measure"}, {"sensor", "gate"}, {"quantity", "force_x"}, {"value", 1}},
                   "does not measure");
    expect_refused({{"op", "measure"}, {"sensor", "joint"}, {"quantity", "distance"}, {"value", 1}},
                   "no sensor");
    expect_refused({{"op", "clear_faults"}, {"device", "ankle"}}, "no drive or sensor");
    expect_refused({{"op", "clear_faults"}, {"all", true}}, "unknown request");
}

}  // namespace
}  // namespace holdfast::plant
