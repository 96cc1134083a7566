// Keeps the latch file equal to the latch, in a thread of its own: disks are slow and can fail, stops cannot.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "ipc/file_descriptor.hpp"
#include "safety/mailbox.hpp"
#include "safety/record.hpp"

namespace holdfast::safety {

// A sentence for a stop that no person gave a reason for.
[[nodiscard]] std::string describe(StopCause cause);

class Recorder {
  public:
    struct Status {
        LatchRecord record;                // of the latch as last seen
        std::optional<LatchWord> durable;  // what the file says; empty: not known to be intact
        std::optional<std::string> error;  // set: the last attempt to write failed, and why; it keeps trying
    };

    // `loaded` is what the file held; `latch_event` becomes readable when the latch changes.
    Recorder(std::filesystem::path file, LatchRecord loaded, Mailbox& mailbox, int latch_event);
    ~Recorder();
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    // Why the operator is about to stop the robot. Call it before the stop is requested.
    void expect_reason(std::string reason);
    // Waits until the stop of `latch` (or that there is none) is on the disk. False: it is not, by then or
    // since writing failed; see status().
    [[nodiscard]] bool wait_until_durable(LatchWord latch, std::chrono::milliseconds patience);
    [[nodiscard]] Status status() const;

  private:
    void run(const std::stop_token& stopping);
    void wait_for_event(bool retry) const;
    void take(LatchWord latch);
    void write(LatchWord latch);

    const std::filesystem::path file_;
    Mailbox& mailbox_;
    const int latch_event_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    LatchRecord record_;
    LatchWord taken_;  // that record_ speaks of
    std::optional<LatchWord> durable_;
    std::optional<std::string> error_;
    LatchWord failed_;  // what error_ speaks of
    std::string expected_reason_;

    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::safety
