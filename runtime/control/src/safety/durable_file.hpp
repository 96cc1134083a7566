// Files that must survive a power cut once they are said to be written. Never the real-time thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "error.hpp"

namespace holdfast::safety {

// Durable when it returns: written beside the file, fsync, renamed over it, directory fsync. On failure the
// file is as it was, and what was written of the new one is gone.
[[nodiscard]] Expected<void> save_durably(const std::filesystem::path& file, std::string_view content);

// FNV-1a, 64 bits, as hexadecimal digits: against a damaged sector, not against a person.
[[nodiscard]] std::string checksum(std::string_view content);

}  // namespace holdfast::safety
