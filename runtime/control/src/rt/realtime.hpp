// What real time needs from the machine, and what of it is in force. Each sentence says what is missing,
// where that was seen and how to mend it. At start, before anything is real-time.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace holdfast {

using Sentences = std::vector<std::string>;

// Prefaults the heap, locks all memory, present and future, and asks the kernel whether that is in force.
[[nodiscard]] Sentences lock_memory();

// Makes the calling thread SCHED_FIFO `priority` on `cpu` (-1: any), prefaults its stack, and asks the kernel
// what is in force.
[[nodiscard]] Sentences make_thread_realtime(int priority, int cpu);

// What differs between the calling thread's scheduling and SCHED_FIFO `priority` on `cpu` (-1: any).
[[nodiscard]] Sentences thread_shortfalls(int priority, int cpu);

// Keeps the processors out of idle states that take long to leave, as long as it lives.
class IdleLatencyHold {
  public:
    // `root`: where /dev and /sys are; another one in tests.
    explicit IdleLatencyHold(const std::filesystem::path& root = "/");
    IdleLatencyHold(const IdleLatencyHold&) = delete;
    IdleLatencyHold& operator=(const IdleLatencyHold&) = delete;
    ~IdleLatencyHold();
    // Empty as well where the processors have no such states.
    [[nodiscard]] const Sentences& shortfalls() const { return shortfalls_; }

  private:
    int fd_{-1};
    Sentences shortfalls_;
};

}  // namespace holdfast
