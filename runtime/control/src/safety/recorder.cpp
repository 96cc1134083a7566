#include "safety/recorder.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace holdfast::safety {
namespace {

constexpr int kRetryMs = 1000;

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 32> text{};
    const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return {text.data(), size};
}

}  // namespace

std::string describe(StopCause cause) {
    switch (cause) {
        case StopCause::kNone:
            break;
        case StopCause::kOperator:
            return "an operator asked for a stop";
        case StopCause::kCoreLost:
            return "holdfast-control fell silent or left while the robot was armed";
        case StopCause::kWorkerLost:
            return "the worker fell silent or left while the robot was armed";
        case StopCause::kControllerRequest:
            return "the controller asked for a stop";
        case StopCause::kControllerNotFinite:
            return "the controller set a value that is not finite";
        case StopCause::kStateRecordUnreadable:
            return "the stop record could not be read, so a stop is assumed";
    }
    return "";
}

Recorder::Recorder(std::filesystem::path file, LatchRecord loaded, Mailbox& mailbox, int latch_event)
    : file_(std::move(file)),
      mailbox_(mailbox),
      latch_event_(latch_event),
      record_(std::move(loaded)),
      taken_(record_.latch_sequence, record_.cause),
      thread_([this](const std::stop_token& stopping) { run(stopping); }) {}

Recorder::~Recorder() {
    thread_.request_stop();
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(latch_event_, &one, sizeof one);
    thread_.join();
}

void Recorder::expect_reason(std::string reason) {
    const std::lock_guard lock(mutex_);
    expected_reason_ = std::move(reason);
}

bool Recorder::wait_until_durable(LatchWord latch, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    const auto settled = [&] { return durable_ == latch || (error_ && failed_ == latch); };
    changed_.wait_for(lock, patience, settled);
    return durable_ == latch;
}

Recorder::Status Recorder::status() const {
    const std::lock_guard lock(mutex_);
    return {record_, durable_, error_};
}

void Recorder::wait_for_event(bool retry) const {
    pollfd waiting{latch_event_, POLLIN, 0};
    if (::poll(&waiting, 1, retry ? kRetryMs : -1) <= 0) return;
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(latch_event_, &count, sizeof count);
}

// A stop that is new gets its time and reason here; one that was loaded keeps its own.
void Recorder::take(LatchWord latch) {
    const std::lock_guard lock(mutex_);
    if (latch != taken_) {
        const bool latched = latch.sequence() != 0;
        const bool by_operator = latch.cause() == StopCause::kOperator && !expected_reason_.empty();
        record_.latch_sequence = latch.sequence();
        record_.cause = latch.cause();
        record_.reason = by_operator ? expected_reason_ : describe(latch.cause());
        record_.since = latched ? utc_now() : "";
        taken_ = latch;
    }
    record_.last_sequence =
        std::max(record_.last_sequence, mailbox_.last_sequence.load(std::memory_order_acquire));
}

void Recorder::write(LatchWord latch) {
    LatchRecord record;
    {
        const std::lock_guard lock(mutex_);
        record = record_;
    }
    const auto saved = save_record(file_, record);
    {
        const std::lock_guard lock(mutex_);
        if (saved) {
            durable_ = latch;
            error_.reset();
        } else {
            if (!error_) std::fprintf(stderr, "<2>stop record: %s\n", saved.error().message.c_str());
            error_ = saved.error().message;
            failed_ = latch;
        }
    }
    if (saved) mailbox_.record_unreadable.store(false, std::memory_order_release);
    changed_.notify_all();
}

void Recorder::run(const std::stop_token& stopping) {
    bool retry = false;
    for (;;) {
        wait_for_event(retry);
        const LatchWord latch = mailbox_.latch.load(std::memory_order_acquire);
        const bool up_to_date = durable_ == latch;
        if (!up_to_date && mailbox_.periods.load(std::memory_order_acquire) != 0) {
            take(latch);
            write(latch);
        }
        if (stopping.stop_requested()) return;
        retry = durable_ != latch;
    }
}

}  // namespace holdfast::safety
