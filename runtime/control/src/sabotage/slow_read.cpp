// A mistake on purpose, for the test of the tests: preloaded into the core, it spins 100 µs in the read phase
// of each cycle, at the first reception from a link.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>

namespace {

constexpr std::int64_t kSpinNs = 100'000;
constexpr std::int64_t kNewCycleNs = 500'000;  // further apart than two receptions of one cycle

std::int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

extern "C" int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
    static thread_local std::int64_t last_ns = 0;
    const std::int64_t begin_ns = now_ns();
    if (begin_ns - last_ns > kNewCycleNs) {
        while (now_ns() - begin_ns < kSpinNs) {
        }
    }
    last_ns = now_ns();
    return static_cast<int>(syscall(SYS_recvmmsg, fd, messages, count, flags, timeout));
}
