#include "plant/outbox.hpp"

namespace holdfast::plant {
namespace {

// In [0, 1), the same with every standard library.
double unit(std::mt19937_64& chance) { return static_cast<double>(chance() >> 11) * 0x1.0p-53; }

}  // namespace

void Outbox::put(const CanFrame& frame, const Faults& faults, std::uint64_t period) {
    if (const auto probability = faults.active(FaultKind::kLost, period);
        probability && unit(chance_) < *probability) {
        ++lost_;
        return;
    }
    const auto delay = faults.active(FaultKind::kLate, period);
    if (delay) ++late_;
    waiting_.push_back({frame, period + static_cast<std::uint64_t>(delay.value_or(0.0))});
}

// In the order in which they were put: frames of one device never overtake each other.
std::uint64_t Outbox::deliver(Link& link, std::uint64_t period) {
    std::uint64_t refused = 0;
    for (; !waiting_.empty() && waiting_.front().due_period <= period; waiting_.pop_front()) {
        if (link.send(waiting_.front().frame) != LinkResult::kOk) ++refused;
    }
    return refused;
}

}  // namespace holdfast::plant
