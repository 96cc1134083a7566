// Users of processes and files, as a robot has them: one for each daemon.
#pragma once

#include <sys/types.h>

#include <optional>

namespace holdfast {

[[nodiscard]] std::optional<uid_t> user_named(const char* name);
// The user of this process, or the one that robots have under this name. On a workstation one user runs all.
[[nodiscard]] bool is_own_or(uid_t user, const char* name);

}  // namespace holdfast
