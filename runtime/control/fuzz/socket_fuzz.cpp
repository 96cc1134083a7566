// Any packet on control.sock, through the real socket: it is answered with one JSON object that says "ok", by
// a core that goes on answering. Even inputs come from root, odd ones from a stranger.
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/exchange.hpp"
#include "core/service.hpp"
#include "fuzz.hpp"
#include "ipc/seqpacket.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;
using nlohmann::json;

template <typename Value>
Value need(Expected<Value> value) {
    claim(value.has_value(), value ? "" : value.error().message.c_str());
    return std::move(*value);
}

std::filesystem::path make_directory() {
    std::string name = "/tmp/holdfast-fuzz-XXXXXX";
    claim(::mkdtemp(name.data()) != nullptr, "a directory for the socket");
    return name;
}

// Tier-1 and the controller thread, as far as the service thread can see them.
void answer_requests(const std::atomic<bool>& running, core::Exchange& exchange) {
    std::uint64_t answers = 0;
    while (running) {
        const std::uint32_t requests = exchange.requests.exchange(0);
        if ((requests & static_cast<std::uint32_t>(core::Request::kArm)) != 0)
            exchange.arm_answer.store(++answers << 32 |
                                      static_cast<std::uint32_t>(core::Blocker::kNoController));
        exchange.in_use.store(exchange.controller.load());
        exchange.cycles.fetch_add(1);
        std::this_thread::yield();
    }
}

class World {
  public:
    World() {
        service_ = need(core::Service::create(config_, exchange_, need(wasm::Engine::create()), segment_.fd(),
                                              {}, core::ResumeMarker(directory_ / "armed")));
        server_ = need(ipc::Server::listen(directory_ / "control.sock",
                                           [this](const ipc::Peer& peer, const ipc::Message& request) {
                                               ipc::Peer as = peer;
                                               if (stranger_) as.uid += 12345;
                                               return service_->handle(as, request);
                                           },
                                           {}));
        connect();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World() {
        running_ = false;
        loop_.join();
        std::filesystem::remove_all(directory_);
    }

    void ask(std::string_view packet, bool stranger) {
        stranger_ = stranger;
        const json reply = exchange_packet(packet);
        claim(reply.is_object() && reply.contains("ok") && reply["ok"].is_boolean(),
              "an answer says ok or not");
        claim(reply["ok"] || (reply.contains("error") && reply["error"].is_string() && reply["error"] != ""),
              "a refusal says why");
        stranger_ = false;
        claim(exchange_packet(R"({"op": "status"})")["ok"] == true, "the core goes on answering");
        service_->keep_house();
    }

  private:
    void connect() {
        client_ = FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        const std::string path = (directory_ / "control.sock").string();
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        claim(::connect(client_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
              "connects");
    }
    json exchange_packet(std::string_view packet) {
        claim(::send(client_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(packet.size()),
              "the packet is sent");
        ssize_t size = -1;
        for (int i = 0; i < 1'000 && size < 0; ++i) {
            server_->serve(1);
            size = ::recv(client_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        }
        claim(size > 0, "every packet is answered");
        return json::parse(buffer_.data(), buffer_.data() + size, nullptr, false);
    }

    std::filesystem::path directory_ = make_directory();
    RobotConfig config_ =
        need(load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/every_kind.toml"));
    core::Exchange exchange_;
    shm::Writer<shm::StateSegment> segment_ = need(shm::Writer<shm::StateSegment>::create());
    std::unique_ptr<core::Service> service_;
    std::unique_ptr<ipc::Server> server_;
    FileDescriptor client_;
    std::array<char, ipc::kMaxMessageBytes> buffer_{};
    bool stranger_{false};
    std::atomic<bool> running_{true};
    std::thread loop_{[this] { answer_requests(running_, exchange_); }};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static World world;
    if (size < 2 || size > ipc::kMaxMessageBytes) return 0;  // an empty packet is the end of a connection
    world.ask(fuzz::text_of(data + 1, size - 1), data[0] % 2 != 0);
    return 0;
}
