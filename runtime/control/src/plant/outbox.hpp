// The way of one device's frames to its link: some are lost, some come late.
#pragma once

#include <cstdint>
#include <deque>
#include <random>

#include "link/link.hpp"
#include "plant/fault.hpp"

namespace holdfast::plant {

class Outbox {
  public:
    explicit Outbox(std::uint64_t seed) : chance_(seed) {}
    void put(const CanFrame& frame, const Faults& faults, std::uint64_t period);
    // Sends what is due. Returns how many frames the link did not take.
    std::uint64_t deliver(Link& link, std::uint64_t period);
    [[nodiscard]] std::uint64_t lost() const { return lost_; }
    [[nodiscard]] std::uint64_t late() const { return late_; }

  private:
    struct Waiting {
        CanFrame frame;
        std::uint64_t due_period{};
    };
    std::mt19937_64 chance_;
    std::deque<Waiting> waiting_;
    std::uint64_t lost_{0};
    std::uint64_t late_{0};
};

}  // namespace holdfast::plant
