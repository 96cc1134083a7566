// What safety.sock answers (docs/architecture.md, "Sockets"). Service thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/seqpacket.hpp"
#include "safety/evidence_writer.hpp"
#include "safety/mailbox.hpp"
#include "safety/recorder.hpp"

namespace holdfast::safety {

// The names of the causes whose bits are set.
[[nodiscard]] std::vector<std::string> names_of_causes(std::uint32_t bits);

// What robot.toml gives this daemon beyond heartbeats, and what of that is missing.
struct Equipment {
    std::vector<std::string> problems{};
    bool estop_lines{false};
    bool enable_line{false};
    int watchdog_timeout_s{0};         // 0: none
    std::optional<uid_t> core_user{};  // of holdfast-control, where there is one
    const EvidenceWriter* evidence{nullptr};
};

class Service {
  public:
    // `segment_fd` is handed out to readers; `shortfalls` are what this daemon lacks for real time.
    Service(Mailbox& mailbox, Recorder& recorder, int segment_fd, std::vector<std::string> shortfalls,
            Equipment equipment = {})
        : mailbox_(mailbox),
          recorder_(recorder),
          segment_fd_(segment_fd),
          shortfalls_(std::move(shortfalls)),
          equipment_(std::move(equipment)) {}
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    [[nodiscard]] ipc::Message handle(const ipc::Peer& peer, ipc::Message request);
    void closed(const ipc::Peer& peer);

  private:
    [[nodiscard]] ipc::Message attach(const ipc::Peer& peer, ipc::Message request);
    [[nodiscard]] ipc::Message attach_core(const ipc::Peer& peer, ipc::Message request);
    [[nodiscard]] ipc::Message attach_worker(const ipc::Peer& peer);
    [[nodiscard]] ipc::Message heartbeat(const ipc::Peer& peer);
    [[nodiscard]] ipc::Message detach(const ipc::Peer& peer);
    [[nodiscard]] ipc::Message segment() const;
    [[nodiscard]] ipc::Message estop(const nlohmann::json& body);
    [[nodiscard]] ipc::Message reset(const ipc::Peer& peer);
    [[nodiscard]] ipc::Message status() const;
    void add_equipment(nlohmann::json& body) const;
    void detach_core();
    void detach_worker();
    // Until the loop has worked with what the mailbox holds now. False: it stands still.
    [[nodiscard]] bool let_the_loop_see() const;

    Mailbox& mailbox_;
    Recorder& recorder_;
    int segment_fd_;
    std::vector<std::string> shortfalls_;
    Equipment equipment_;
    std::unique_ptr<StateReader> core_sample_;
    int core_connection_{0};  // 0: none
    int worker_connection_{0};
};

}  // namespace holdfast::safety
