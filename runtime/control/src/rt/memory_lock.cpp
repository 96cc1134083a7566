#include "rt/memory_lock.hpp"

#include <cstring>
#include <optional>
#include <sstream>

namespace holdfast {
namespace {

constexpr unsigned kCapIpcLock = 14;

// The number behind "KEY:" in /proc/self/status.
std::optional<std::uint64_t> field(const std::string& status, const std::string& key, bool hexadecimal) {
    std::istringstream lines(status);
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(key + ":")) continue;
        std::istringstream value(line.substr(key.size() + 1));
        std::uint64_t number = 0;
        if (hexadecimal) value >> std::hex;
        if (value >> number) return number;
    }
    return std::nullopt;
}

}  // namespace

std::vector<std::string> memory_lock_shortfalls(int error, const std::string& status,
                                                std::uint64_t limit_bytes) {
    const std::string mend = "; grant CAP_IPC_LOCK or set LimitMEMLOCK=infinity";
    if (error != 0)
        return {"memory is not locked (mlockall: " + std::string(std::strerror(error)) + ")" + mend};
    if (field(status, "VmLck", false).value_or(0) == 0)
        return {"memory is not locked: mlockall succeeded and VmLck of /proc/self/status is 0" + mend};
    const bool unlimited = (field(status, "CapEff", true).value_or(0) >> kCapIpcLock & 1u) != 0;
    if (unlimited || limit_bytes == kNoMemoryLimit) return {};
    return {"memory to come may not be locked: RLIMIT_MEMLOCK is " + std::to_string(limit_bytes / 1024) +
            " KiB" + mend};
}

}  // namespace holdfast
