// What the kernel must give a real-time thread, and what it gave.
#pragma once

#include <string>
#include <vector>

namespace holdfast {

// Locks all memory, present and future, and prefaults the heap. Empty: done; else why not, for a person.
[[nodiscard]] std::vector<std::string> lock_memory();
// Makes the calling thread SCHED_FIFO `priority` on `cpu` (-1: any) and prefaults its stack.
[[nodiscard]] std::vector<std::string> make_thread_realtime(int priority, int cpu);
// Reasons why this machine cannot keep deadlines: no PREEMPT_RT kernel, coarse clock.
[[nodiscard]] std::vector<std::string> kernel_shortfalls();

}  // namespace holdfast
