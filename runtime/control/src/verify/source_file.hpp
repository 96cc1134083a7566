#pragma once

#include <filesystem>
#include <string>

#include "error.hpp"

namespace holdfast::verify {

// Reads a controller's source: a regular file, of which never more than one byte above the limit is read
// (compile() refuses that with its sentence). Errors say what to do.
[[nodiscard]] Expected<std::string> read_source(const std::filesystem::path& file);

}  // namespace holdfast::verify
