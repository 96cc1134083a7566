// The latch file: what must survive a restart and a power cut (DESIGN rule 3). Recorder thread and start-up
// only. Hazard: a file that cannot be trusted is read as "no stop". So whatever is there and not intact is a
// stop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "error.hpp"
#include "shm/layout.hpp"

namespace holdfast::safety {

struct LatchRecord {
    std::uint64_t latch_sequence{};  // 0: not latched
    std::uint64_t last_sequence{};   // of the last stop ever
    shm::StopCause cause{};
    std::string reason;  // for a person
    std::string since;   // UTC, ISO 8601; empty if not latched
};

struct LoadedRecord {
    LatchRecord record;
    std::optional<std::string> damage;  // set: a stop must be assumed, and this is why
};

// A robot that never stopped has no file, only a directory to make; that alone is no damage. After damage the
// stops are numbered on from the time of day in seconds, which is above any number that was counted.
[[nodiscard]] LoadedRecord load_record(const std::filesystem::path& file);

// Durable when it returns: written beside the file, fsync, renamed over it, directory fsync. On failure the
// file is as it was.
[[nodiscard]] Expected<void> save_record(const std::filesystem::path& file, const LatchRecord& record);

}  // namespace holdfast::safety
