// The record of one stop as a file: a line of JSON that describes itself, then the entries as packed
// little-endian records (docs/reference.md, "Evidence"). Never the real-time thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "robot/config.hpp"
#include "safety/evidence_ring.hpp"

namespace holdfast::safety {

struct Evidence {
    std::uint64_t stop{};         // number of the stop
    std::uint64_t last_number{};  // of the last entry that belongs to it
    std::uint32_t cause{};
    std::int64_t stop_mono_ns{};
    std::vector<EvidenceEntry> entries;
    std::uint64_t missing{};  // entries that had been overwritten before they could be saved
};

// What the ring holds of a stop: 2 s before it and 0.5 s after it. Empty: the ring does not know that stop.
[[nodiscard]] std::optional<Evidence> collect_evidence(const EvidenceRing& ring, std::uint64_t stop,
                                                       std::int64_t period_ns);
// True once the ring holds all that comes after the stop.
[[nodiscard]] bool evidence_is_complete(const EvidenceRing& ring, const Evidence& evidence);

// The whole file; `saved` is the time of day, for a person.
[[nodiscard]] std::string format_evidence(const Evidence& evidence, const RobotConfig& config,
                                          const std::string& saved);

[[nodiscard]] std::filesystem::path evidence_name(std::uint64_t stop);
// Every record of a directory, oldest first.
[[nodiscard]] std::vector<std::filesystem::path> evidence_files(const std::filesystem::path& directory);

}  // namespace holdfast::safety
