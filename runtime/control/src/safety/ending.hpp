// How this daemon is told to end: SIGTERM or SIGINT, blocked in every thread and waited for by the main one.
#pragma once

#include <chrono>
#include <csignal>

namespace holdfast::safety {

// Main thread only. True: the signal came within that time, and is taken.
[[nodiscard]] inline bool told_to_end(std::chrono::nanoseconds within) {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(within);
    const timespec patience{seconds.count(), (within - seconds).count()};
    return sigtimedwait(&ending, nullptr, &patience) > 0;
}

}  // namespace holdfast::safety
