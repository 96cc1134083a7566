#include "safety/recorder.hpp"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "safety/utc.hpp"

namespace holdfast::safety {
namespace {

constexpr int kRetryMs = 1000;

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
            return "the stop record could not be read or did not know of a stop, so a stop is assumed";
        case StopCause::kEstopLine:
            return "a contact of the e-stop opened";
        case StopCause::kEstopDiscrepancy:
            return "the two contacts of the e-stop disagreed for too long: one of them or its wire is broken";
        case StopCause::kEstopLineUnreadable:
            return "a line of the e-stop could not be read";
        case StopCause::kEnableLineFailed:
            return "the enable line could not be set";
        case StopCause::kDriveFault:
            return "a drive reported an error while the robot was armed";
        case StopCause::kCoreOverruns:
            return "holdfast-control overran its period again and again while the robot was armed";
        case StopCause::kTemperature:
            return "the processor is too hot";
        case StopCause::kMemoryPressure:
            return "the machine is short of memory";
        case StopCause::kHealthUnreadable:
            return "the temperature or the memory pressure could not be read any more";
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
    // The cause of a stop may become clearer meanwhile; it is the same stop.
    const auto durable = [&] { return durable_ && durable_->sequence() == latch.sequence(); };
    const auto settled = [&] { return durable() || (error_ && failed_.sequence() == latch.sequence()); };
    changed_.wait_for(lock, patience, settled);
    return durable();
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
        const bool is_new =
            latch.sequence() != taken_.sequence();  // else a broken contact was found under it
        const bool by_operator = latch.cause() == StopCause::kOperator && !expected_reason_.empty();
        record_.latch_sequence = latch.sequence();
        record_.cause = latch.cause();
        const std::string reason = by_operator ? expected_reason_ : describe(latch.cause());
        record_.reason = is_new ? reason : reason + "; the stop began with: " + record_.reason;
        if (is_new) record_.since = latched ? utc_now() : "";
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
            durable_.reset();  // what the file says by now is not known: it is written again in any case
        }
    }
    if (saved) mailbox_.record_unreadable.store(false, std::memory_order_release);
    mailbox_.recorded.store(saved ? latch : LatchWord::unknown(), std::memory_order_release);
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
