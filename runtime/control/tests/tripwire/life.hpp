// A robot's life in ten thousand cycles, again and again: the core's Tier-1 and controller runner with a real
// WebAssembly controller, and holdfast-plant's drives behind a unix: link. What is not the core's own (plant,
// safety daemon, service thread) runs between the cycles, unwatched.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "core/controller_runner.hpp"
#include "core/robot_rig.hpp"
#include "plant/plant.hpp"
#include "tripwire/watch.hpp"

namespace holdfast::tripwire {

// What a life must hold, so that the watched cycles were worth watching.
struct Lived {
    std::uint64_t cycles{};
    std::uint64_t armed_cycles{};
    std::uint64_t controller_ticks{};
    std::uint64_t controllers_loaded{};
    std::uint64_t arms{};
    std::uint64_t estops_seen{};
    std::uint64_t stops{};  // every kind but the e-stop
    std::uint64_t overruns{};
    std::uint64_t stale_states{};
};

class Life {
  public:
    static constexpr std::uint64_t kCyclesOfALife = 10'000;

    Life();
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;
    ~Life();

    // One cycle: the unwatched world, then the core under `watch`; `extra` runs with it.
    template <typename Extra>
    void cycle(Watch& watch, const Extra& extra) {
        const Wake wake = prepare();
        watch.over([&] {
            work(wake);
            extra();
        });
        look_back();
    }
    [[nodiscard]] Lived lived();
    // "unix", "can": of the robot's drives.
    [[nodiscard]] std::set<std::string> links() const;

  private:
    Wake prepare();
    void act_of(std::uint64_t moment);
    void load(std::size_t which);
    void work(const Wake& wake);
    void look_back();

    core::RobotRig rig_;
    std::shared_ptr<wasm::Engine> engine_;
    std::array<std::unique_ptr<core::LoadedController>, 2> controllers_;
    std::unique_ptr<plant::Plant> plant_;
    std::unique_ptr<core::ControllerRunner> runner_;
    Periodic periodic_;
    bool plant_talks_{true};
    std::uint64_t skip_{0};
    std::uint64_t stop_number_{0};
    Lived lived_;
};

}  // namespace holdfast::tripwire
