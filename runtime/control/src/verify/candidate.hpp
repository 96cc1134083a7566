// What holdfast-verify does with one source: compile, link, instantiate, verify, publish; and how it reports
// it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "verify/verify.hpp"

namespace holdfast::verify {

struct Request {
    std::filesystem::path config;
    std::filesystem::path source;
    std::filesystem::path out;
    std::optional<std::filesystem::path> trace;
    std::int64_t ticks{100};
    std::uint64_t seed{1};
};

enum class ExitCode : int { kAccepted = 0, kRejected = 1, kUnusable = 2 };

// One JSON object for standard output. Only with kAccepted is there a file at `out`.
struct Report {
    ExitCode code{};
    nlohmann::json body;
};

[[nodiscard]] Report examine(const Request& request);

}  // namespace holdfast::verify
