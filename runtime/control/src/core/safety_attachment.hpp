// Attaches to holdfast-safety and attaches again when that daemon was restarted. Service thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/exchange.hpp"
#include "ipc/seqpacket.hpp"

namespace holdfast::core {

class SafetyAttachment {
  public:
    SafetyAttachment(std::filesystem::path socket, int state_fd, Exchange& exchange)
        : socket_(std::move(socket)), state_fd_(state_fd), exchange_(exchange) {}

    // Connects if there is no connection; at most one try every 200 ms.
    void maintain();
    // Leaves in good order: the daemon does not take the silence that follows for a dead core.
    void detach();

  private:
    struct Retired {
        std::unique_ptr<shm::Reader<shm::SafetySegment>> segment;
        std::uint64_t cycle;
    };
    [[nodiscard]] Expected<void> attach();
    void complain(const std::string& why);
    void unmap_retired();

    std::filesystem::path socket_;
    int state_fd_;
    Exchange& exchange_;
    std::unique_ptr<ipc::Client> client_;
    std::unique_ptr<shm::Reader<shm::SafetySegment>> segment_;
    std::vector<Retired> retired_;
    std::chrono::steady_clock::time_point next_try_{};
    std::string last_complaint_;
};

}  // namespace holdfast::core
