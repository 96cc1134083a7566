#include "rt/realtime.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "rt/memory_lock.hpp"

namespace holdfast {
namespace {

constexpr std::size_t kHeapPrefaultBytes = 8u << 20;
constexpr std::size_t kStackPrefaultBytes = 256u << 10;
constexpr std::size_t kPageBytes = 4096;
constexpr const char* kIdleLatency = "dev/cpu_dma_latency";
constexpr const char* kIdleStates = "sys/devices/system/cpu/cpu0/cpuidle";
constexpr long kLongestWakeUs = 20;  // the project's limit for a wake-up (docs/architecture.md)

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

std::string text_of(const std::filesystem::path& file) {
    std::ifstream stream(file);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

std::string policy_name(int policy) {
    if (policy == SCHED_FIFO) return "SCHED_FIFO";
    if (policy == SCHED_RR) return "SCHED_RR";
    return policy == SCHED_OTHER ? "SCHED_OTHER" : "policy " + std::to_string(policy);
}

bool pinned_to(std::size_t cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus) != 0) return false;
    return CPU_COUNT(&cpus) == 1 && CPU_ISSET(cpu, &cpus);
}

long number_in(const std::filesystem::path& file) {
    std::ifstream stream(file);
    long value = 0;
    return stream >> value ? value : 0;
}

// Whether the processor may fall into an idle state that takes longer to leave than a wake-up may.
bool sleeps_deeply(const std::filesystem::path& root) {
    std::error_code none;
    for (const auto& state : std::filesystem::directory_iterator(root / kIdleStates, none)) {
        const bool allowed = number_in(state.path() / "disable") == 0;
        if (allowed && number_in(state.path() / "latency") > kLongestWakeUs) return true;
    }
    return false;
}

}  // namespace

Sentences lock_memory() {
    prefault_heap();
    const bool locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    const int error = locked ? 0 : errno;
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    const std::uint64_t limit_bytes = limit.rlim_cur == RLIM_INFINITY ? kNoMemoryLimit : limit.rlim_cur;
    return memory_lock_shortfalls(error, text_of("/proc/self/status"), limit_bytes);
}

Sentences thread_shortfalls(int priority, int cpu) {
    Sentences found;
    int policy = 0;
    sched_param parameters{};
    pthread_getschedparam(pthread_self(), &policy, &parameters);
    if (policy != SCHED_FIFO || parameters.sched_priority != priority)
        found.push_back("SCHED_FIFO " + std::to_string(priority) + " is not in force: the thread has " +
                        policy_name(policy) + " " + std::to_string(parameters.sched_priority) +
                        " (sched_getscheduler); grant CAP_SYS_NICE or set LimitRTPRIO=99");
    if (cpu >= 0 && !pinned_to(static_cast<std::size_t>(cpu)))
        found.push_back(
            "the thread does not stay on cpu " + std::to_string(cpu) +
            " ([control] cpu, sched_getaffinity); choose one that exists and that its cpuset allows");
    return found;
}

Sentences make_thread_realtime(int priority, int cpu) {
    prefault_stack();
    if (cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(static_cast<std::size_t>(cpu), &cpus);
        // Whether it worked is asked below.
        (void)pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    }
    sched_param parameters{};
    parameters.sched_priority = priority;
    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
    return thread_shortfalls(priority, cpu);
}

IdleLatencyHold::IdleLatencyHold(const std::filesystem::path& root) {
    const std::int32_t latency_us = 0;
    fd_ = ::open((root / kIdleLatency).c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ >= 0 && ::write(fd_, &latency_us, sizeof latency_us) == sizeof latency_us) return;
    const int error = errno;
    if (!sleeps_deeply(root)) return;
    shortfalls_.push_back(std::string("the processor may sleep deeply: /dev/cpu_dma_latency is not held (") +
                          std::strerror(error) + "), and an idle state of cpu 0 takes more than " +
                          std::to_string(kLongestWakeUs) +
                          " us to leave; let the group of holdfast-control write it");
}

IdleLatencyHold::~IdleLatencyHold() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace holdfast
