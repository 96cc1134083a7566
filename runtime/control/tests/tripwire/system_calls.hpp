// Counts the system calls of one thread by number, while asked to. A seccomp filter turns each call of the
// thread into a SIGSYS; the handler counts it and makes the call itself, from a place that the filter lets
// pass. So the thread does what it always does, only slower.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace holdfast::tripwire {

// From now on and for good, for the calling thread. False: this kernel gives no seccomp filter.
[[nodiscard]] bool trap_system_calls();

// Between the two, calls of the trapped thread are counted.
void begin_counting();
void end_counting();

// All that were counted: name of the call (its number, if it is a rare one), how often.
[[nodiscard]] std::map<std::string, std::uint64_t> counted_calls();

}  // namespace holdfast::tripwire
