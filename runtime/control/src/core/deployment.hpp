// A controller's way from its load to its proof as people and the worker see it: what is staged, what became
// of it and why, and the return to the last known good one. Service thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/controller_store.hpp"
#include "core/event_log.hpp"
#include "core/exchange.hpp"

namespace holdfast::core {

class Deployment {
  public:
    using Json = nlohmann::json;

    Deployment(const RobotConfig& config, Exchange& exchange, std::shared_ptr<wasm::Engine> engine)
        : config_(config), exchange_(exchange), store_(config, std::move(engine), exchange) {}

    [[nodiscard]] const ControllerStore& store() const { return store_; }

    // The answers of control.sock. While the robot is armed, `load` begins a trial and says at which stage;
    // otherwise nothing moves that could be compared, and the controller is active at once.
    [[nodiscard]] Json load(const Json& request, shm::Mode mode);
    [[nodiscard]] Json unload();
    [[nodiscard]] Json withdraw(const Json& request);
    [[nodiscard]] Json remember_good(const Json& request);
    // "lifecycle" of the status.
    [[nodiscard]] Json describe() const;

    // Notices outcomes and proofs; loads the last known good controller when the active one failed in its
    // watch and the robot stands disarmed. That never arms it (rule 3).
    void keep_house(shm::Mode mode, EventLog& events);

  private:
    // Empty and a refusal: not a controller's description.
    [[nodiscard]] std::optional<ControllerIdentity> read_identity(const Json& request, Json& refusal) const;
    [[nodiscard]] Stage first_stage(shm::Mode mode) const;
    [[nodiscard]] std::string trial_obstacle(shm::Mode mode) const;
    void note_outcome();
    void note_proof();
    void roll_back(EventLog& events);
    [[nodiscard]] bool failed_in_watch() const;
    [[nodiscard]] Json describe_candidate() const;
    [[nodiscard]] std::string explain(const StagingOutcome& outcome) const;

    const RobotConfig& config_;
    Exchange& exchange_;
    ControllerStore store_;
    Lifecycle lifecycle_;
    Json outcome_;
    std::uint64_t outcome_generation_{0};
    std::uint64_t proved_generation_{0};
    std::uint64_t settled_generation_{0};  // whose failure was dealt with
    Json rolled_back_;
};

}  // namespace holdfast::core
