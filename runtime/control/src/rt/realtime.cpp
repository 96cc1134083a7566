#include "rt/realtime.hpp"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

namespace holdfast {
namespace {

constexpr std::size_t kHeapPrefaultBytes = 8u << 20;
constexpr std::size_t kStackPrefaultBytes = 256u << 10;
constexpr std::size_t kPageBytes = 4096;
constexpr long kCoarsestClockNs = 1'000;

void touch_pages(volatile char* memory, std::size_t size) {
    for (std::size_t at = 0; at < size; at += kPageBytes) memory[at] = 0;
}

void prefault_heap() {
    // Freed memory stays with the process, and large blocks come from the same heap: no page fault later.
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_MAX, 0);
    void* block = std::malloc(kHeapPrefaultBytes);
    if (block != nullptr) touch_pages(static_cast<volatile char*>(block), kHeapPrefaultBytes);
    std::free(block);
}

[[gnu::noinline]] void prefault_stack() {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): its pages are touched in the next line
    std::array<char, kStackPrefaultBytes> stack;
    touch_pages(stack.data(), stack.size());
}

}  // namespace

std::vector<std::string> lock_memory() {
    prefault_heap();
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) return {};
    return {std::string("memory is not locked (mlockall: ") + std::strerror(errno) +
            "); grant CAP_IPC_LOCK or set LimitMEMLOCK=infinity"};
}

std::vector<std::string> make_thread_realtime(int priority, int cpu) {
    std::vector<std::string> shortfalls;
    prefault_stack();
    if (cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(static_cast<std::size_t>(cpu), &cpus);
        if (const int error = pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus); error != 0) {
            shortfalls.push_back("thread is not pinned to cpu " + std::to_string(cpu) + " (" +
                                 std::strerror(error) + "); choose one that exists");
        }
    }
    sched_param parameters{};
    parameters.sched_priority = priority;
    if (const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters); error != 0) {
        shortfalls.push_back("SCHED_FIFO " + std::to_string(priority) + " is refused (" +
                             std::strerror(error) + "); grant CAP_SYS_NICE or set LimitRTPRIO=99");
    }
    return shortfalls;
}

std::vector<std::string> kernel_shortfalls() {
    std::vector<std::string> shortfalls;
    std::ifstream file("/sys/kernel/realtime");
    int realtime = 0;
    if (!(file >> realtime) || realtime != 1) {
        shortfalls.emplace_back(
            "the kernel is not PREEMPT_RT (/sys/kernel/realtime is not 1); boot a real-time kernel");
    }
    timespec resolution{};
    if (clock_getres(CLOCK_MONOTONIC, &resolution) != 0 || resolution.tv_sec != 0 ||
        resolution.tv_nsec > kCoarsestClockNs) {
        shortfalls.emplace_back("the monotonic clock is coarser than 1 us; boot with high-resolution timers");
    }
    return shortfalls;
}

}  // namespace holdfast
