// The system calls that docs/architecture.md allows a cycle, read from its table: there is no second list.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "error.hpp"

namespace holdfast::tripwire {

// Of the row "every link" and the rows of `links` ("unix", "can").
[[nodiscard]] Expected<std::set<std::string>> documented_calls(const std::filesystem::path& document,
                                                               const std::set<std::string>& links);

}  // namespace holdfast::tripwire
