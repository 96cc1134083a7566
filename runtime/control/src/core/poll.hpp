#pragma once

#include <chrono>
#include <thread>

namespace holdfast::core {

// Waits for a real-time thread to do what it does within a few periods. False: it did not. Service thread
// only.
template <typename Condition>
bool poll_until(Condition condition, std::chrono::milliseconds limit = std::chrono::milliseconds(500)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace holdfast::core
