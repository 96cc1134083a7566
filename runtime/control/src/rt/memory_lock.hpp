// Whether memory locking is in force, from what the kernel says of the process. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast {

inline constexpr std::uint64_t kNoMemoryLimit = UINT64_MAX;

// `error`: of mlockall, 0 if it succeeded. `status`: the text of /proc/self/status. `limit_bytes`:
// RLIMIT_MEMLOCK, or kNoMemoryLimit.
[[nodiscard]] std::vector<std::string> memory_lock_shortfalls(int error, const std::string& status,
                                                              std::uint64_t limit_bytes);

}  // namespace holdfast
