// JSON requests over a Unix SOCK_SEQPACKET socket, one message a packet, file descriptors beside it
// (SCM_RIGHTS). Never called from a real-time thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "error.hpp"
#include "ipc/file_descriptor.hpp"

namespace holdfast::ipc {

inline constexpr std::size_t kMaxMessageBytes = 65'536;

struct Peer {
    int connection{};  // tells connections of one server apart
    pid_t pid{};
    uid_t uid{};
    bool gone{};  // it had closed its end when its request was taken: nobody waits for the answer
    // True for root and for the user the server runs as: who may arm and reset.
    [[nodiscard]] bool privileged() const;
};

struct Message {
    nlohmann::json body;
    std::vector<FileDescriptor> descriptors;
};

// Serves one socket in the caller's poll loop.
class Server {
  public:
    // The reply is sent to the peer; a request that is not JSON or too large is answered with {"ok": false,
    // "error": ...}.
    using Handler = std::function<Message(const Peer&, Message)>;
    using Closed = std::function<void(const Peer&)>;

    [[nodiscard]] static Expected<std::unique_ptr<Server>> listen(const std::filesystem::path& path,
                                                                  Handler handler, Closed closed);
    virtual ~Server() = default;
    // Waits at most `timeout_ms` for requests and answers them.
    virtual void serve(int timeout_ms) = 0;
};

class Client {
  public:
    [[nodiscard]] static Expected<std::unique_ptr<Client>> connect(const std::filesystem::path& path);
    virtual ~Client() = default;
    // False after the other side closed, or after a request that got no reply.
    [[nodiscard]] virtual bool is_open() const = 0;
    // Of whoever listens there; nothing if it is not known.
    [[nodiscard]] virtual std::optional<uid_t> server_user() const = 0;
    [[nodiscard]] virtual Expected<Message> request(const nlohmann::json& body,
                                                    const std::vector<int>& descriptors = {},
                                                    int timeout_ms = 1000) = 0;
};

}  // namespace holdfast::ipc
