// The controllers that are loaded, and the hand-over to the controller thread. Service thread only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/exchange.hpp"

namespace holdfast::core {

struct ControllerIdentity {
    std::string name;
    std::string version;
    std::string sha256;
    std::filesystem::path cwasm;
};

class ControllerStore {
  public:
    ControllerStore(const RobotConfig& config, std::shared_ptr<wasm::Engine> engine, Exchange& exchange)
        : config_(config), engine_(std::move(engine)), exchange_(exchange) {}

    // Instantiates here, in the caller's thread. Stage::kActive swaps between two ticks; another stage begins
    // a trial beside the active one. An error leaves the active one running.
    [[nodiscard]] Expected<std::uint64_t> load(ControllerIdentity identity, Stage first_stage);
    void unload();
    // Ends the trial of that generation, if it is under way.
    void withdraw(std::uint64_t generation);
    // Destroys what the controller thread no longer uses.
    void collect();

    // Empty: none is active.
    [[nodiscard]] std::optional<ControllerIdentity> active() const;
    // Empty: that generation is not held any more.
    [[nodiscard]] std::optional<ControllerIdentity> identity(std::uint64_t generation) const;
    // What that one said when it failed; empty if it is not held any more. It must not be called any more.
    [[nodiscard]] std::string trap_message(std::uint64_t generation) const;

    // The controller that is loaded again when a new one fails in its watch.
    [[nodiscard]] const std::optional<ControllerIdentity>& last_known_good() const { return good_; }
    void remember_good(ControllerIdentity identity) { good_ = std::move(identity); }

  private:
    struct Held {
        LoadedController loaded;
        ControllerIdentity identity;
    };

    [[nodiscard]] const Held* find(std::uint64_t generation) const;
    void hand_over(LoadedController* next);

    const RobotConfig& config_;
    std::shared_ptr<wasm::Engine> engine_;
    Exchange& exchange_;
    std::vector<std::unique_ptr<Held>> held_;
    std::optional<ControllerIdentity> good_;
    std::uint64_t generation_{0};
};

}  // namespace holdfast::core
