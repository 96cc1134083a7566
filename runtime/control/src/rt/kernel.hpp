// Whether this kernel can keep deadlines, from what it says of itself in /sys and /proc.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace holdfast {

// Reasons why it cannot: no PREEMPT_RT, a clock that is coarse, slow or unstable, throttled real-time
// threads. `root`: where /sys and /proc are; another one in tests.
[[nodiscard]] std::vector<std::string> kernel_shortfalls(const std::filesystem::path& root = "/");
// What a person should know although it is good enough.
[[nodiscard]] std::vector<std::string> kernel_notes(const std::filesystem::path& root = "/");
// A clock source that the loop can live with; else why not. Empty `name`: not known.
[[nodiscard]] std::vector<std::string> clock_source_shortfalls(const std::string& name);
[[nodiscard]] std::vector<std::string> clock_resolution_shortfalls(long resolution_ns);

}  // namespace holdfast
