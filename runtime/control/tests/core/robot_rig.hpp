// A small robot around Tier-1 without threads or real time: drives behind a real unix: link, a safety
// segment, and a clock that moves one period a cycle. The robot is
// runtime/tests/robot_toml/valid/every_kind.toml: a position joint, a velocity spindle and an effort gripper.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tier1.hpp"
#include "drive/cansimple.hpp"
#include "temporary_directory.hpp"

namespace holdfast::core {

inline constexpr std::int64_t kMs = 1'000'000;
inline constexpr std::size_t kJoint = 0, kSpindle = 1, kGripper = 2;
inline constexpr std::size_t kJointPosition = 0, kSpindleVelocity = 1;

inline std::int64_t& rig_clock() {
    static std::int64_t now_ns = 0;
    return now_ns;
}

class CountingEngine final : public wasm::Engine {
  public:
    void increment_epoch() override { ++epochs; }
    void prepare_thread() override {}
    int epochs{0};
};

// What one drive of the rig does and has been told.
struct RigDrive {
    double position{};  // channel units
    double velocity{};
    std::uint8_t axis_state{1};
    std::uint32_t axis_error{0};
    bool obeys_enable{true};
    bool talks{true};              // its encoder's frames arrive
    bool beats{true};              // its heartbeat arrives
    std::vector<double> commands;  // channel units, newest last
    int enable_frames{0};
    int idle_frames{0};
    int clear_frames{0};
};

class RobotRig {
  public:
    // `change`: what the robot is to have otherwise than the file says.
    explicit RobotRig(RealtimeGrade grade = {}, const std::string& file = "every_kind.toml",
                      void (*change)(RobotConfig&) = nullptr) {
        rig_clock() = 1'000'000 * kMs;
        auto loaded =
            load_robot_config(std::string(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/") + file);
        config = std::move(*loaded);
        if (change != nullptr) change(config);
        hub = std::move(*open_drive_side("unix:plant.sock", run_directory.path()));
        tier1 = std::make_unique<Tier1>(config, std::move(*DriveBus::open(config, run_directory.path())),
                                        segment, exchange, engine, 7, grade, [] { return rig_clock(); });
        exchange.safety.store(&safety_reader);
        drives[kJoint].position = 0.3;
        listen();  // the core's hello, so that the hub knows it
    }

    void cycles(int count) {
        for (int i = 0; i < count; ++i) cycle();
    }
    void cycle(std::uint64_t skipped = 0) {
        rig_clock() += config.tier1_period_ns() * static_cast<std::int64_t>(1 + skipped);
        cycle({rig_clock(), rig_clock(), skipped});
    }
    // The clock stands at `wake.woke_ns`.
    void cycle(const Wake& wake) {
        if (safety_beats) beat();
        talk();
        if (controller_runs && cycle_count % 10 == 0) publish_setpoint();
        ++cycle_count;
        tier1->cycle(wake);
        listen();
    }
    void beat() {
        ++safety.beat;
        safety.mono_ns = rig_clock();
        safety_writer.publish(safety);
    }
    void latch(std::uint64_t number) {
        safety_writer.segment().stop.store(number);
        safety.latch_sequence = number;
        safety.latch_mono_ns = number == 0 ? 0 : rig_clock();
        safety.arm_permitted = number == 0 ? 1 : 0;
        safety_writer.publish(safety);
    }
    void load_controller() {
        setpoint = {};
        setpoint.generation = 1;
        setpoint.state = shm::ControllerState::kLoaded;
        publish_setpoint();
    }
    void publish_setpoint() {
        if (exchange.snapshot.latest().run) {
            setpoint.mono_ns = rig_clock();
            ++setpoint.tick;
        }
        exchange.setpoint.writable() = setpoint;
        exchange.setpoint.publish();
    }
    void fault_controller(shm::ControllerFault fault) {
        setpoint.state = shm::ControllerState::kFaulted;
        setpoint.fault = fault;
        publish_setpoint();
    }
    void wish(std::size_t channel, double value) {
        setpoint.set |= 1u << channel;
        setpoint.value[channel] = value;
    }
    // The blockers with which an arm request was answered.
    std::uint32_t arm() {
        exchange.request(Request::kArm);
        cycle();
        return static_cast<std::uint32_t>(exchange.arm_answer.load());
    }
    // Armed, with drives in closed loop and a controller.
    void arm_fully() {
        load_controller();
        cycles(3);
        ASSERT_EQ(arm(), 0u);
        cycles(4);
        ASSERT_EQ(mode(), shm::Mode::kRunning);
        ASSERT_TRUE(exchange.snapshot.latest().run);
    }
    // Armed and turning the spindle at 10 rad/s.
    void arm_and_turn() {
        arm_fully();
        wish(kSpindle, 10.0);
        cycles(400);
        ASSERT_NEAR(sent(kSpindle), 10.0, 1e-9);
    }
    [[nodiscard]] shm::StateData state() {
        shm::StateData data{};
        EXPECT_TRUE(state_reader.read(data));
        return data;
    }
    [[nodiscard]] shm::Mode mode() { return state().mode; }
    [[nodiscard]] std::uint64_t counter(shm::Counter which) {
        return state().counters[static_cast<std::size_t>(which)];
    }
    // What the drive was told last, over the bus.
    [[nodiscard]] double sent(std::size_t drive) const { return drives[drive].commands.back(); }
    [[nodiscard]] std::optional<Event> find_event(EventKind kind) {
        std::optional<Event> found;
        while (const auto event = exchange.tier1_events.pop()) {
            if (event->kind == kind) found = event;
        }
        return found;
    }

    TemporaryDirectory run_directory;
    RobotConfig config;
    CountingEngine engine;
    Exchange exchange;
    shm::Writer<shm::StateSegment> segment = std::move(*shm::Writer<shm::StateSegment>::create());
    shm::Reader<shm::StateSegment> state_reader =
        std::move(*shm::Reader<shm::StateSegment>::map(FileDescriptor(dup(segment.fd()))));
    shm::Writer<shm::SafetySegment> safety_writer = std::move(*shm::Writer<shm::SafetySegment>::create());
    shm::Reader<shm::SafetySegment> safety_reader =
        std::move(*shm::Reader<shm::SafetySegment>::map(FileDescriptor(dup(safety_writer.fd()))));
    shm::SafetyData safety{
        .beat = 0, .mono_ns = 0, .latch_sequence = 0, .latch_mono_ns = 0, .cause = {}, .arm_permitted = 1};
    bool safety_beats{true};
    bool controller_runs{true};
    Setpoint setpoint;
    std::array<RigDrive, 3> drives;
    std::vector<CanFrame> foreign_frames;  // that reached no CANSimple drive
    std::unique_ptr<Link> hub;
    std::unique_ptr<Tier1> tier1;
    int cycle_count{0};

  private:
    void talk() {
        for (std::size_t d = 0; d < drives.size(); ++d) {
            if (!hub) continue;
            if (drives[d].talks) report(d);
            if (drives[d].beats) beat(d);
        }
    }
    void report(std::size_t d) {
        const Drive& drive = config.drives[d];
        CanFrame estimate{.id = cansimple::frame_id(drive.node, cansimple::Command::kGetEncoderEstimates),
                          .size = 8};
        cansimple::put_f32(estimate, 0, static_cast<float>(drives[d].position * drive.turns_per_unit));
        cansimple::put_f32(estimate, 4, static_cast<float>(drives[d].velocity * drive.turns_per_unit));
        (void)hub->send(estimate);
    }
    void beat(std::size_t d) {
        CanFrame heartbeat{.id = cansimple::frame_id(config.drives[d].node, cansimple::Command::kHeartbeat),
                           .size = 8};
        cansimple::put_u32(heartbeat, 0, drives[d].axis_error);
        heartbeat.data[4] = drives[d].axis_state;
        (void)hub->send(heartbeat);
    }
    void listen() {
        CanFrame frame;
        while (hub && hub->receive(frame) == LinkResult::kOk) {
            bool taken = false;
            for (std::size_t d = 0; d < drives.size(); ++d) {
                if (cansimple::node_of(frame) != config.drives[d].node) continue;
                obey(d, frame);
                taken = true;
            }
            if (!taken) foreign_frames.push_back(frame);
        }
    }
    void obey(std::size_t d, const CanFrame& frame) {
        RigDrive& drive = drives[d];
        const double scale = config.drives[d].turns_per_unit;
        switch (cansimple::command_of(frame)) {
            case cansimple::Command::kSetInputPos:
            case cansimple::Command::kSetInputVel:
                return drive.commands.push_back(cansimple::get_f32(frame, 0) / scale);
            case cansimple::Command::kSetInputTorque:
                return drive.commands.push_back(cansimple::get_f32(frame, 0) /
                                                cansimple::torque_per_effort(scale));
            case cansimple::Command::kClearErrors:
                ++drive.clear_frames;
                return;
            case cansimple::Command::kSetAxisState:
                if (cansimple::get_u32(frame, 0) == 8) {
                    ++drive.enable_frames;
                    if (drive.obeys_enable) drive.axis_state = 8;
                } else {
                    ++drive.idle_frames;
                    drive.axis_state = 1;
                }
                return;
            default:
                return;
        }
    }
};

}  // namespace holdfast::core
