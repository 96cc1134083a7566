#include "ipc/seqpacket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace holdfast::ipc {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDescriptors = 4;
constexpr std::size_t kMaxConnections = 64;

Error system_error(const std::string& what) { return {what + ": " + std::strerror(errno)}; }

json refusal(const std::string& why) { return {{"ok", false}, {"error", why}}; }

Expected<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path) {
        return fail("socket path " + text + " is longer than " + std::to_string(sizeof address.sun_path - 1) +
                    " characters; choose a shorter HOLDFAST_RUN_DIR");
    }
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    return address;
}

// Of the process at the other end, as it was when it connected or began to listen.
std::optional<ucred> credentials_of(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
    return credentials;
}

Expected<FileDescriptor> open_socket() {
    FileDescriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return tl::unexpected(system_error("cannot open a Unix socket"));
    return fd;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// What one recvmsg gave: a message, a reason to refuse it, or the end of the connection.
struct Received {
    enum class Kind : std::uint8_t { kMessage, kRefused, kClosed, kNothing } kind{Kind::kNothing};
    Message message;
    std::string why;
};

std::vector<FileDescriptor> take_descriptors(msghdr& header) {
    std::vector<FileDescriptor> descriptors;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            descriptors.emplace_back(fd);
        }
    }
    return descriptors;
}

Received receive(int socket, std::string& buffer) {
    buffer.resize(kMaxMessageBytes);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (size <= 0) return {Received::Kind::kClosed, {}, {}};
    std::vector<FileDescriptor> descriptors = take_descriptors(header);
    if ((header.msg_flags & MSG_TRUNC) != 0) {
        return {Received::Kind::kRefused,
                {},
                "message is larger than " + std::to_string(kMaxMessageBytes) + " bytes"};
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
        return {Received::Kind::kRefused,
                {},
                "message carries more than " + std::to_string(kMaxDescriptors) + " descriptors"};
    }
    json body = json::parse(buffer.data(), buffer.data() + size, nullptr, false);
    if (!body.is_object()) return {Received::Kind::kRefused, {}, "message is not a JSON object"};
    return {Received::Kind::kMessage, {std::move(body), std::move(descriptors)}, {}};
}

Expected<void> send(int socket, const json& body, const std::vector<int>& descriptors) {
    const std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() > kMaxMessageBytes) {
        return fail("message of " + std::to_string(text.size()) + " bytes is larger than " +
                    std::to_string(kMaxMessageBytes));
    }
    if (descriptors.size() > kMaxDescriptors) {
        return fail("message carries more than " + std::to_string(kMaxDescriptors) + " descriptors");
    }
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
        const std::size_t bytes = descriptors.size() * sizeof(int);
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(bytes);
        cmsghdr* c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(c), descriptors.data(), bytes);
    }
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        return tl::unexpected(system_error("cannot send"));
    }
    return {};
}

std::vector<int> numbers_of(const std::vector<FileDescriptor>& descriptors) {
    std::vector<int> numbers;
    numbers.reserve(descriptors.size());
    for (const FileDescriptor& fd : descriptors) numbers.push_back(fd.get());
    return numbers;
}

bool hung_up(int socket) {
    pollfd waiting{socket, POLLRDHUP, 0};
    return ::poll(&waiting, 1, 0) != 0;
}

class SeqpacketServer final : public Server {
  public:
    SeqpacketServer(std::filesystem::path path, FileDescriptor listener, Handler handler, Closed closed)
        : path_(std::move(path)),
          listener_(std::move(listener)),
          handler_(std::move(handler)),
          closed_(std::move(closed)) {}
    SeqpacketServer(const SeqpacketServer&) = delete;
    SeqpacketServer& operator=(const SeqpacketServer&) = delete;
    ~SeqpacketServer() override { ::unlink(path_.c_str()); }

    void serve(int timeout_ms) override {
        std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}};
        for (const Connection& c : connections_) waiting.push_back({c.fd.get(), POLLIN, 0});
        if (::poll(waiting.data(), waiting.size(), timeout_ms) <= 0) return;
        const std::size_t known = connections_.size();
        for (std::size_t i = 0; i < known; ++i) {
            if (waiting[i + 1].revents != 0) answer(connections_[i]);
        }
        remove_closed();
        if (waiting[0].revents != 0) accept();
    }

  private:
    struct Connection {
        FileDescriptor fd;
        Peer peer;
        bool closed{false};
    };

    void accept() {
        FileDescriptor fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd || connections_.size() >= kMaxConnections) return;
        const auto credentials = credentials_of(fd.get());
        if (!credentials) return;
        connections_.push_back(
            {std::move(fd),
             {.connection = ++last_connection_, .pid = credentials->pid, .uid = credentials->uid}});
    }

    void answer(Connection& connection) {
        Received received = receive(connection.fd.get(), buffer_);
        switch (received.kind) {
            case Received::Kind::kNothing:
                return;
            case Received::Kind::kClosed:
                connection.closed = true;
                return;
            case Received::Kind::kRefused:
                reply(connection, {refusal(received.why), {}});
                return;
            case Received::Kind::kMessage:
                connection.peer.gone = hung_up(connection.fd.get());
                reply(connection, handle(connection.peer, std::move(received.message)));
                return;
        }
    }

    Message handle(const Peer& peer, Message message) {
        try {
            return handler_(peer, std::move(message));
        } catch (const json::exception& error) {
            return {refusal(std::string("request does not fit its operation: ") + error.what()), {}};
        }
    }

    // A peer that does not read its replies is dropped: the service loop never waits for one.
    void reply(Connection& connection, const Message& message) {
        const auto sent = send(connection.fd.get(), message.body, numbers_of(message.descriptors));
        if (sent) return;
        if (!send(connection.fd.get(), refusal(sent.error().message), {})) connection.closed = true;
    }

    void remove_closed() {
        std::vector<Connection> gone;
        for (auto c = connections_.begin(); c != connections_.end();) {
            if (!c->closed) {
                ++c;
                continue;
            }
            gone.push_back(std::move(*c));
            c = connections_.erase(c);
        }
        for (const Connection& c : gone) {
            if (closed_) closed_(c.peer);
        }
    }

    std::filesystem::path path_;
    FileDescriptor listener_;
    Handler handler_;
    Closed closed_;
    std::vector<Connection> connections_;
    std::string buffer_;
    int last_connection_{0};
};

class SeqpacketClient final : public Client {
  public:
    SeqpacketClient(std::string path, FileDescriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

    bool is_open() const override { return fd_ && !hung_up(fd_.get()); }
    std::optional<uid_t> server_user() const override {
        const auto credentials = credentials_of(fd_.get());
        return credentials ? std::optional(credentials->uid) : std::nullopt;
    }

    Expected<Message> request(const json& body, const std::vector<int>& descriptors,
                              int timeout_ms) override {
        if (!fd_) return fail(path_ + ": the connection is closed; connect again");
        if (auto sent = send(fd_.get(), body, descriptors); !sent) return abandon(sent.error().message);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
        while (true) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
                    .count();
            pollfd waiting{fd_.get(), POLLIN, 0};
            const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
            if (ready < 0 && errno == EINTR) continue;
            if (ready == 0) return abandon("no reply within " + std::to_string(timeout_ms) + " ms");
            Received received = receive(fd_.get(), buffer_);
            if (received.kind == Received::Kind::kNothing) continue;
            if (received.kind == Received::Kind::kClosed) return abandon("the connection was closed");
            if (received.kind == Received::Kind::kRefused) return abandon("reply refused: " + received.why);
            return std::move(received.message);
        }
    }

  private:
    // After a lost reply the next one could be taken for the answer to another request: the connection ends
    // here.
    tl::unexpected<Error> abandon(const std::string& why) {
        fd_ = FileDescriptor();
        return fail(path_ + ": " + why);
    }

    std::string path_;
    FileDescriptor fd_;
    std::string buffer_;
};

bool someone_listens(const sockaddr_un& address) {
    const auto fd = open_socket();
    return fd && ::connect(fd->get(), generic(address), sizeof address) == 0;
}

}  // namespace

bool Peer::privileged() const { return uid == 0 || uid == ::geteuid(); }

Expected<std::unique_ptr<Server>> Server::listen(const std::filesystem::path& path, Handler handler,
                                                 Closed closed) {
    const auto address = address_of(path);
    if (!address) return tl::unexpected(address.error());
    if (someone_listens(*address)) {
        return fail(path.string() + ": another process serves this socket; stop it first");
    }
    ::unlink(path.c_str());
    auto fd = open_socket();
    if (!fd) return tl::unexpected(fd.error());
    if (::bind(fd->get(), generic(*address), sizeof *address) != 0) {
        return tl::unexpected(
            system_error(path.string() + ": cannot be created; its directory must exist and be writable"));
    }
    // Members of the group may ask; what needs more is guarded by Peer::privileged().
    if (::chmod(path.c_str(), 0660) != 0 || ::listen(fd->get(), 16) != 0) {
        return tl::unexpected(system_error(path.string() + ": cannot listen"));
    }
    return std::make_unique<SeqpacketServer>(path, std::move(*fd), std::move(handler), std::move(closed));
}

Expected<std::unique_ptr<Client>> Client::connect(const std::filesystem::path& path) {
    const auto address = address_of(path);
    if (!address) return tl::unexpected(address.error());
    auto fd = open_socket();
    if (!fd) return tl::unexpected(fd.error());
    if (::connect(fd->get(), generic(*address), sizeof *address) != 0) {
        return tl::unexpected(system_error(path.string() + ": cannot connect"));
    }
    return std::make_unique<SeqpacketClient>(path.string(), std::move(*fd));
}

}  // namespace holdfast::ipc
