// What the watched steps did that a real-time thread must not do.
#pragma once

#include <sys/resource.h>

#include <cstdint>

#include "counted_allocations.hpp"
#include "tripwire/system_calls.hpp"

namespace holdfast::tripwire {

struct Seen {
    std::uint64_t heap_calls{};  // allocations and deallocations
    std::uint64_t minor_faults{};
    std::uint64_t major_faults{};
};

class Watch {
  public:
    template <typename Step>
    void over(const Step& step) {
        const rusage before = usage();
        const std::uint64_t heap_before = heap_calls();
        begin_counting();
        step();
        end_counting();
        const std::uint64_t heap_after = heap_calls();
        const rusage after = usage();
        seen_.heap_calls += heap_after - heap_before;
        seen_.minor_faults += static_cast<std::uint64_t>(after.ru_minflt - before.ru_minflt);
        seen_.major_faults += static_cast<std::uint64_t>(after.ru_majflt - before.ru_majflt);
    }
    [[nodiscard]] const Seen& seen() const { return seen_; }

  private:
    static std::uint64_t heap_calls() { return allocations() + deallocations(); }
    static rusage usage() {
        rusage used{};
        getrusage(RUSAGE_THREAD, &used);
        return used;
    }
    Seen seen_;
};

}  // namespace holdfast::tripwire
