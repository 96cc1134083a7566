#include "link/unix_link.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ipc/file_descriptor.hpp"
#include "link/wire.hpp"

namespace holdfast::link {
namespace {

constexpr std::size_t kMaxPeers = 32;        // clients of one hub
constexpr int kMaxClientsOfOneName = 64;     // links one process may open under one local name
constexpr std::uint32_t kHelloEvery = 1000;  // empty receives; once a second at 1 kHz
constexpr CanFrame kHello{.id = kHelloId};
constexpr timeval kGreetingPatience{.tv_sec = 2, .tv_usec = 0};

Expected<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& text = path.native();
    if (text.size() >= sizeof address.sun_path) {
        return fail("link \"unix:" + text + "\": the path is longer than " +
                    std::to_string(sizeof address.sun_path - 1) +
                    " bytes, the limit of a Unix socket; choose a shorter run directory");
    }
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    return address;
}

bool send_to(int fd, const sockaddr_un& peer, const CanFrame& frame, int flags = MSG_DONTWAIT) {
    const can_frame raw = to_wire(frame);
    return ::sendto(fd, &raw, sizeof raw, flags | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&peer),
                    sizeof peer) == static_cast<ssize_t>(sizeof raw);
}

LinkResult receive_from(int fd, sockaddr_un& peer, CanFrame& frame) {
    can_frame raw{};
    socklen_t size = sizeof peer;
    peer.sun_path[0] = '\0';
    // MSG_TRUNC: the datagram's true length, so that one that is too long is told from a good one.
    const auto received =
        ::recvfrom(fd, &raw, sizeof raw, MSG_DONTWAIT | MSG_TRUNC, reinterpret_cast<sockaddr*>(&peer), &size);
    if (received < 0) return errno == EAGAIN || errno == EINTR ? LinkResult::kEmpty : LinkResult::kError;
    const auto decoded = from_wire(raw, static_cast<std::size_t>(received));
    if (!decoded) return LinkResult::kError;
    frame = *decoded;
    return LinkResult::kOk;
}

FileDescriptor datagram_socket() {
    return FileDescriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// The one call that may wait: the hub's queue is short, and others may have filled it while its process was
// not scheduled. Errors are in errno.
bool greet(int fd, const sockaddr_un& hub) {
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kGreetingPatience, sizeof kGreetingPatience) != 0 ||
        ::fcntl(fd, F_SETFL, 0) != 0) {
        return false;
    }
    return send_to(fd, hub, kHello, 0) && ::fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

// A socket file whose owner died stays behind; nobody hears at it.
bool is_abandoned(const sockaddr_un& address) {
    const FileDescriptor probe = datagram_socket();
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
           errno == ECONNREFUSED;
}

bool bind_to(int fd, const sockaddr_un& address) {
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
    if (errno != EADDRINUSE) return false;
    if (!is_abandoned(address)) {
        errno = EADDRINUSE;
        return false;
    }
    ::unlink(address.sun_path);
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// Owns a bound socket and its file.
struct BoundSocket {
    FileDescriptor socket;
    sockaddr_un address{};

    BoundSocket(FileDescriptor bound, const sockaddr_un& at) : socket(std::move(bound)), address(at) {}
    BoundSocket(BoundSocket&&) noexcept = default;
    BoundSocket& operator=(BoundSocket&&) = delete;
    ~BoundSocket() {
        if (socket) ::unlink(address.sun_path);
    }
};

class UnixClient final : public Link {
  public:
    UnixClient(BoundSocket local, const sockaddr_un& hub) : local_(std::move(local)), hub_(hub) {}

    LinkResult send(const CanFrame& frame) override {
        return send_to(local_.socket.get(), hub_, frame) ? LinkResult::kOk : LinkResult::kError;
    }

    LinkResult receive(CanFrame& frame) override {
        sockaddr_un peer{};
        const LinkResult result = receive_from(local_.socket.get(), peer, frame);
        empty_receives_ = result == LinkResult::kEmpty ? empty_receives_ + 1 : 0;
        if (empty_receives_ == kHelloEvery) {
            empty_receives_ = 0;
            send_to(local_.socket.get(), hub_, kHello);
        }
        return result;
    }

    int fd() const override { return local_.socket.get(); }

  private:
    BoundSocket local_;
    sockaddr_un hub_;
    std::uint32_t empty_receives_{0};
};

class UnixHub final : public Link {
  public:
    explicit UnixHub(BoundSocket local) : local_(std::move(local)) {}

    // kError: a client that is there did not get the frame (its queue is full).
    LinkResult send(const CanFrame& frame) override {
        LinkResult result = LinkResult::kOk;
        for (auto& peer : peers_) {
            if (!peer || send_to(local_.socket.get(), *peer, frame)) continue;
            if (errno == ECONNREFUSED || errno == ENOENT) {
                peer.reset();
            } else {
                result = LinkResult::kError;
            }
        }
        return result;
    }

    LinkResult receive(CanFrame& frame) override {
        for (;;) {
            const LinkResult result = receive_from(local_.socket.get(), sender_, frame);
            if (result != LinkResult::kOk) return result;
            remember(sender_);
            if (frame.id != kHelloId) return result;
        }
    }

    int fd() const override { return local_.socket.get(); }

    // "core" of ".../link-core-0.sock"
    std::string_view sender() const override {
        std::string_view name(sender_.sun_path);
        name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
        if (name.starts_with("link-")) name.remove_prefix(5);
        return name.substr(0, name.rfind('-'));
    }

  private:
    void remember(const sockaddr_un& sender) {
        std::optional<sockaddr_un>* free_place = nullptr;
        for (auto& peer : peers_) {
            if (!peer) {
                if (free_place == nullptr) free_place = &peer;
            } else if (std::strcmp(peer->sun_path, sender.sun_path) == 0) {
                return;
            }
        }
        if (free_place != nullptr && sender.sun_path[0] != '\0') *free_place = sender;
    }

    BoundSocket local_;
    std::array<std::optional<sockaddr_un>, kMaxPeers> peers_{};
    sockaddr_un sender_{};
};

}  // namespace

Expected<std::unique_ptr<Link>> open_unix_client(const std::filesystem::path& hub,
                                                 const std::string& local_name,
                                                 const std::filesystem::path& run_directory) {
    const auto hub_address = address_of(hub);
    if (!hub_address) return tl::unexpected(hub_address.error());
    for (int number = 0; number < kMaxClientsOfOneName; ++number) {
        const auto path = run_directory / ("link-" + local_name + "-" + std::to_string(number) + ".sock");
        const auto address = address_of(path);
        if (!address) return tl::unexpected(address.error());
        FileDescriptor socket = datagram_socket();
        if (!bind_to(socket.get(), *address)) {
            if (errno == EADDRINUSE) continue;
            return fail("link \"unix:" + hub.native() + "\": cannot create " + path.native() + ": " +
                        std::strerror(errno) + "; is the run directory there and writable?");
        }
        BoundSocket local(std::move(socket), *address);
        if (!greet(local.socket.get(), *hub_address)) {
            if (errno == EAGAIN) {
                return fail("link \"unix:" + hub.native() + "\": its process reads nothing (" +
                            std::to_string(kGreetingPatience.tv_sec) +
                            " s waited); is holdfast-plant stopped? End it and start it again");
            }
            return fail("link \"unix:" + hub.native() + "\": nobody listens there (" + std::strerror(errno) +
                        "); start holdfast-plant with the same robot.toml first");
        }
        return std::make_unique<UnixClient>(std::move(local), *hub_address);
    }
    return fail("link \"unix:" + hub.native() + "\": all " + std::to_string(kMaxClientsOfOneName) +
                " names link-" + local_name + "-N.sock below " + run_directory.native() +
                " are in use; end the processes that hold them");
}

Expected<std::unique_ptr<Link>> open_unix_hub(const std::filesystem::path& hub) {
    const auto address = address_of(hub);
    if (!address) return tl::unexpected(address.error());
    FileDescriptor socket = datagram_socket();
    if (bind_to(socket.get(), *address))
        return std::make_unique<UnixHub>(BoundSocket(std::move(socket), *address));
    if (errno == EADDRINUSE) {
        return fail("link \"unix:" + hub.native() +
                    "\": another process serves it already; end that one first");
    }
    return fail("link \"unix:" + hub.native() + "\": cannot create the socket: " + std::strerror(errno) +
                "; is its directory there and writable?");
}

}  // namespace holdfast::link
