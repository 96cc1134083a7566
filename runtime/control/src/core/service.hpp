// control.sock: what people, the worker and the bench ask of the core. Service thread only.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/deployment.hpp"
#include "core/event_log.hpp"
#include "core/exchange.hpp"
#include "core/execution_state.hpp"
#include "core/operator_inputs.hpp"
#include "core/resume_marker.hpp"
#include "ipc/seqpacket.hpp"

namespace holdfast::core {

class Service {
  public:
    // `state_fd`: the state segment, handed out to readers. `shortfalls`: what the machine lacks for real
    // time.
    [[nodiscard]] static Expected<std::unique_ptr<Service>> create(
        const RobotConfig& config, Exchange& exchange, std::shared_ptr<wasm::Engine> engine, int state_fd,
        std::vector<std::string> shortfalls, ResumeMarker resume);

    [[nodiscard]] ipc::Message handle(const ipc::Peer& peer, const ipc::Message& request);
    // Logs events, frees what is no longer used, resumes once if the configuration says so.
    void keep_house();
    [[nodiscard]] shm::StateData state() const;
    [[nodiscard]] shm::StateData settled_state() const;

  private:
    using Json = nlohmann::json;

    Service(const RobotConfig& config, Exchange& exchange, std::shared_ptr<wasm::Engine> engine, int state_fd,
            std::vector<std::string> shortfalls, ResumeMarker resume, shm::Reader<shm::StateSegment> state);

    [[nodiscard]] Json answer(const ipc::Peer& peer, const Json& request);
    [[nodiscard]] Json status();
    [[nodiscard]] Json controller_status(const shm::StateData& state);
    [[nodiscard]] Json load(const Json& request);
    [[nodiscard]] Json arm();
    [[nodiscard]] Json disarm();
    [[nodiscard]] Json unload();
    template <typename Answered>
    [[nodiscard]] bool answered_or_withdrawn(Request request, Answered answered);
    // Of a pause, resume or clear.
    [[nodiscard]] Json change_state(Request request, ExecutionEvent event);
    [[nodiscard]] Json simulate(const Json& request);
    [[nodiscard]] std::vector<std::string> blocker_texts(std::uint32_t blockers);
    void add_drive_texts(const Status& status, std::vector<std::string>& texts) const;
    void add_silence_texts(const Status& status, std::vector<std::string>& texts) const;
    void add_state_texts(const Status& status, std::vector<std::string>& texts) const;
    void add_estimate_texts(const Status& status, std::vector<std::string>& texts) const;
    void keep_resume_marker();
    void keep_metrics();

    const RobotConfig& config_;
    Exchange& exchange_;
    int state_fd_;
    std::vector<std::string> shortfalls_;
    ResumeMarker resume_;
    shm::Reader<shm::StateSegment> state_;
    Deployment deployment_;
    EventLog events_;
    OperatorInputs inputs_;
    std::deque<double> metrics_;
    bool may_resume_{false};
    bool loaded_before_{false};
    bool marker_failed_{false};
};

}  // namespace holdfast::core
