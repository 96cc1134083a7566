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
};

class ControllerStore {
  public:
    ControllerStore(const RobotConfig& config, std::shared_ptr<wasm::Engine> engine, Exchange& exchange)
        : config_(config), engine_(std::move(engine)), exchange_(exchange) {}

    // Instantiates here, in the caller's thread, and swaps between two ticks. An error leaves the active one
    // running.
    [[nodiscard]] Expected<std::uint64_t> load(const std::filesystem::path& cwasm,
                                               ControllerIdentity identity);
    void unload();
    // Destroys what the controller thread no longer uses.
    void collect();

    [[nodiscard]] const std::optional<ControllerIdentity>& active() const { return active_; }
    // What the active one said when it failed; empty if `generation` is another one.
    [[nodiscard]] std::string trap_message(std::uint64_t generation) const;

  private:
    void hand_over(LoadedController* next);

    const RobotConfig& config_;
    std::shared_ptr<wasm::Engine> engine_;
    Exchange& exchange_;
    std::vector<std::unique_ptr<LoadedController>> held_;
    std::optional<ControllerIdentity> active_;
    std::uint64_t generation_{0};
};

}  // namespace holdfast::core
