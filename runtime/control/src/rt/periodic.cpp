#include "rt/periodic.hpp"

#include <cerrno>
#include <ctime>

#include "rt/clock.hpp"

namespace holdfast {

Schedule::Due Schedule::next(std::int64_t now_ns) {
    std::int64_t skipped = 0;
    if (now_ns > next_ns_) skipped = (now_ns - next_ns_ + period_ns_ - 1) / period_ns_;
    const std::int64_t due_ns = next_ns_ + skipped * period_ns_;
    next_ns_ = due_ns + period_ns_;
    return {due_ns, static_cast<std::uint64_t>(skipped)};
}

Schedule Schedule::on_grid(std::int64_t period_ns, std::int64_t slot_ns, std::int64_t now_ns) {
    const std::int64_t past_ns = (now_ns - slot_ns) % period_ns;
    return {period_ns, now_ns - (past_ns < 0 ? past_ns + period_ns : past_ns)};
}

Periodic::Periodic(std::int64_t period_ns) : schedule_(period_ns, monotonic_ns()) {}

Periodic::Periodic(std::int64_t period_ns, std::int64_t slot_ns)
    : schedule_(Schedule::on_grid(period_ns, slot_ns, monotonic_ns())) {}

Wake Periodic::wait() {
    const Schedule::Due due = schedule_.next(monotonic_ns());
    const timespec until{due.at_ns / 1'000'000'000, due.at_ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    }
    return {due.at_ns, monotonic_ns(), due.skipped};
}

}  // namespace holdfast
