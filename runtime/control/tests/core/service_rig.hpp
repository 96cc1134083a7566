// control.sock with the real loop, the real sandbox and a robot behind a real link; only the threads are the
// test's.
#pragma once

#include <atomic>
#include <fstream>
#include <thread>

#include "core/controller_runner.hpp"
#include "core/service.hpp"
#include "robot_rig.hpp"

namespace holdfast::core {

using nlohmann::json;

inline const ipc::Peer kRoot{.connection = 1, .pid = 1, .uid = 0};
inline const ipc::Peer kStranger{.connection = 2, .pid = 1, .uid = geteuid() + 12345};

inline constexpr const char* kStill = R"((module (func (export "process") (param i64))))";

class ServiceTest : public testing::Test {
  protected:
    ServiceTest() {
        rig.tier1 = std::make_unique<Tier1>(
            rig.config, std::move(*DriveBus::open(rig.config, rig.run_directory.path())), rig.segment,
            rig.exchange, *engine, 7, RealtimeGrade{}, [] { return rig_clock(); });
        rig.controller_runs = false;
        start(ResumeMode::kManual);
    }
    ~ServiceTest() override { stop(); }

    void start(ResumeMode resume) {
        stop();
        rig.exchange.controller = nullptr;  // a new process
        rig.exchange.taken = nullptr;
        rig.exchange.in_use = nullptr;
        rig.exchange.setpoint.writable() = {};
        rig.exchange.setpoint.publish();
        rig.cycle();
        rig.config.control.resume = resume;
        service = std::move(*Service::create(rig.config, rig.exchange, engine, rig.segment.fd(),
                                             {"no real-time kernel"},
                                             ResumeMarker(rig.run_directory.path() / "state" / "armed")));
        running = true;
        loop = std::thread([this] {
            ControllerRunner runner(rig.config, rig.exchange, rig.segment.segment().controller,
                                    [] { return rig_clock(); });
            while (running) {
                for (int i = 0; i < 10; ++i) rig.cycle();
                runner.tick(rig_clock());
                std::this_thread::yield();
            }
        });
    }
    void stop() {
        running = false;
        if (loop.joinable()) loop.join();
    }
    json ask(const json& request, const ipc::Peer& peer = kRoot) {
        return service->handle(peer, {request, {}}).body;
    }
    json load(const char* source, const std::string& name = "test") {
        const auto file = rig.run_directory.path() / (name + ".cwasm");
        const auto compiled = wasm::compile(*engine, source);
        EXPECT_TRUE(compiled) << compiled.error().message;
        std::ofstream(file, std::ios::binary) << *compiled;
        return ask({{"op", "load"},
                    {"cwasm", file.string()},
                    {"name", name},
                    {"version", "1"},
                    {"sha256", "sha of " + name}});
    }
    // Polls the status until `done` accepts it.
    template <typename Done>
    json await(Done done) {
        json status;
        EXPECT_TRUE(poll([&] {
            status = ask({{"op", "status"}});
            return done(status);
        })) << status.dump(1);
        return status;
    }
    template <typename Condition>
    static bool poll(Condition condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            std::this_thread::yield();
        }
        return true;
    }
    static auto mode_is(const char* mode) {
        return [mode](const json& status) { return status["mode"] == mode; };
    }

    RobotRig rig;
    std::shared_ptr<wasm::Engine> engine = std::move(*wasm::Engine::create());
    std::unique_ptr<Service> service;
    std::atomic<bool> running{false};
    std::thread loop;
};

}  // namespace holdfast::core
