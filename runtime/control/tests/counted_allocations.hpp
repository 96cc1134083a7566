// Counts what a thread asks of the heap: every allocation of the executable and of the libraries in it goes
// through glibc's names, which counted_allocations.cpp defines. Sanitizers bring an allocator of their own:
// not with them.
#pragma once

#include <cstdint>

namespace holdfast {

// Of the calling thread, since it began: others may allocate when they like.
[[nodiscard]] std::uint64_t allocations();
[[nodiscard]] std::uint64_t deallocations();

}  // namespace holdfast
