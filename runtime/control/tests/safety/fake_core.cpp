// A core as the safety daemon sees it: attaches, beats each millisecond until SIGTERM, then detaches.
// usage: fake_core SAFETY_SOCKET [armed]
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "ipc/seqpacket.hpp"
#include "rt/clock.hpp"
#include "shm/segment.hpp"

namespace {

volatile std::sig_atomic_t ending = 0;

int fail(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return fail("usage: fake_core SAFETY_SOCKET [armed]");
    std::signal(SIGTERM, [](int) { ending = 1; });
    auto segment = holdfast::shm::Writer<holdfast::shm::StateSegment>::create();
    if (!segment) return fail(segment.error().message);
    auto client = holdfast::ipc::Client::connect(argv[1]);
    if (!client) return fail(client.error().message);
    const auto attached = (*client)->request({{"op", "attach"}, {"role", "core"}}, {segment->fd()}, 20'000);
    if (!attached) return fail(attached.error().message);
    if (attached->body["ok"] != true) return fail(attached->body.dump());

    holdfast::shm::StateData data{};
    data.mode = argc > 2 && std::string(argv[2]) == "armed" ? holdfast::shm::Mode::kArmed
                                                            : holdfast::shm::Mode::kDisarmed;
    data.sent = {1.0, 10.0, 1.0};
    while (ending == 0) {
        ++data.cycle;
        data.mono_ns = holdfast::monotonic_ns();
        segment->publish(data);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return (*client)->request({{"op", "detach"}}, {}, 20'000).has_value() ? 0 : 1;
}
