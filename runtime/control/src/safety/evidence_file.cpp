#include "safety/evidence_file.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr std::int64_t kBeforeNs = 2'000'000'000;
constexpr std::int64_t kAfterNs = 500'000'000;
constexpr std::string_view kSuffix = ".evidence";

constexpr std::array<std::string_view, static_cast<std::size_t>(kLastEvidenceFlag) + 1> kFlags{
    "core_attached", "core_beat",          "core_lost",
    "core_armed",    "worker_attached",    "worker_beat",
    "worker_lost",   "record_unreadable",  "operator_stop",
    "reset",         "estop_unreadable",   "estop_open_1",
    "estop_open_2",  "enable_line_failed", "drive_fault",
    "health_sample", "arm_permitted",      "enable",
    "stop_frames",   "stop_taken"};

// CRC-32 as in IEEE 802.3 (zlib's crc32).
std::uint32_t crc32(std::string_view bytes) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (const char byte : bytes) {
        crc ^= static_cast<unsigned char>(byte);
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1u) != 0 ? 0xEDB88320 : 0u);
    }
    return ~crc;
}

// A field of the record: where it lies in an entry, and how many values of it the robot has.
struct Column {
    std::string name;
    std::string dtype;
    std::size_t offset;
    std::size_t bytes;  // of one value
    std::size_t count;  // 0: one value, no array
};

template <typename T>
std::string dtype_of() {
    static_assert(std::is_arithmetic_v<T>);
    const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    return std::string("<") + kind + std::to_string(sizeof(T));
}

template <typename T>
Column scalar(const char* name, std::size_t offset) {
    return {name, dtype_of<T>(), offset, sizeof(T), 0};
}
template <typename Array>
Column array(const char* name, std::size_t offset, std::size_t count) {
    using T = typename Array::value_type;
    return {name, dtype_of<T>(), offset, sizeof(T), count};
}

std::vector<Column> columns_of(const RobotConfig& config) {
#define HOLDFAST_SCALAR(member) \
    scalar<decltype(EvidenceEntry::member)>(#member, offsetof(EvidenceEntry, member))
#define HOLDFAST_ARRAY(member, count) \
    array<decltype(EvidenceEntry::member)>(#member, offsetof(EvidenceEntry, member), count)
    std::vector<Column> columns{HOLDFAST_SCALAR(number),
                                HOLDFAST_SCALAR(mono_ns),
                                HOLDFAST_SCALAR(work_ns),
                                HOLDFAST_SCALAR(latch_sequence),
                                HOLDFAST_SCALAR(cause),
                                HOLDFAST_SCALAR(standing),
                                HOLDFAST_SCALAR(warnings),
                                HOLDFAST_SCALAR(flags),
                                HOLDFAST_SCALAR(temperature),
                                HOLDFAST_SCALAR(memory_pressure),
                                HOLDFAST_SCALAR(core_cycle),
                                HOLDFAST_SCALAR(core_mono_ns),
                                HOLDFAST_SCALAR(core_wake_latency_ns),
                                HOLDFAST_SCALAR(core_cycle_time_ns),
                                HOLDFAST_SCALAR(core_mode),
                                HOLDFAST_SCALAR(controller_fault),
                                HOLDFAST_SCALAR(core_overruns),
                                HOLDFAST_SCALAR(core_skipped_cycles),
                                HOLDFAST_SCALAR(core_latch_seen)};
    if (!config.states.empty()) {
        columns.push_back(HOLDFAST_ARRAY(state, config.states.size()));
        columns.push_back(HOLDFAST_ARRAY(state_mono_ns, config.states.size()));
    }
    columns.push_back(HOLDFAST_ARRAY(requested, config.commands.size()));
    columns.push_back(HOLDFAST_ARRAY(sent, config.commands.size()));
#undef HOLDFAST_SCALAR
#undef HOLDFAST_ARRAY
    return columns;
}

std::string packed(const std::vector<EvidenceEntry>& entries, const std::vector<Column>& columns) {
    std::string bytes;
    for (const EvidenceEntry& entry : entries) {
        const auto* begin = reinterpret_cast<const char*>(&entry);
        for (const Column& column : columns) {
            bytes.append(begin + column.offset, column.bytes * std::max<std::size_t>(column.count, 1));
        }
    }
    return bytes;
}

template <typename Enum>
json names_up_to(Enum last) {
    json names = json::array();
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(last); ++i)
        names.push_back(shm::name_of(static_cast<Enum>(i)));
    return names;
}

template <typename Channels>
json names_of(const Channels& channels) {
    json names = json::array();
    for (const auto& channel : channels) names.push_back(channel.name);
    return names;
}

// Where it was latched: a daemon that starts under a stop has entries of it that tell nothing of its reason.
std::optional<EvidenceEntry> find_stop(const EvidenceRing& ring, std::uint64_t stop) {
    const std::uint64_t last = ring.last();
    const std::uint64_t first = last < kEvidenceEntries ? 1 : last - kEvidenceEntries + 1;
    for (std::uint64_t number = first; number <= last; ++number) {
        const auto entry = ring.entry(number);
        if (!entry || entry->latch_sequence != stop) continue;
        if ((entry->flags & bit(EvidenceFlag::kStopTaken)) != 0) return entry;
    }
    return std::nullopt;
}

}  // namespace

std::optional<Evidence> collect_evidence(const EvidenceRing& ring, std::uint64_t stop,
                                         std::int64_t period_ns) {
    const auto at = find_stop(ring, stop);
    if (!at) return std::nullopt;
    Evidence evidence{.stop = stop, .cause = at->cause, .stop_mono_ns = at->mono_ns, .entries = {}};
    const auto before = static_cast<std::uint64_t>(kBeforeNs / period_ns);
    evidence.last_number = at->number + static_cast<std::uint64_t>(kAfterNs / period_ns);
    const std::uint64_t first = at->number <= before ? 1 : at->number - before;
    const std::uint64_t last = std::min(evidence.last_number, ring.last());
    for (std::uint64_t number = first; number <= last; ++number) {
        if (const auto entry = ring.entry(number)) {
            evidence.entries.push_back(*entry);
        } else {
            ++evidence.missing;
        }
    }
    return evidence;
}

bool evidence_is_complete(const EvidenceRing& ring, const Evidence& evidence) {
    return ring.last() >= evidence.last_number;
}

std::string format_evidence(const Evidence& evidence, const RobotConfig& config, const std::string& saved) {
    const std::vector<Column> columns = columns_of(config);
    const std::string bytes = packed(evidence.entries, columns);
    json fields = json::array();
    for (const Column& column : columns) {
        json field{{"name", column.name}, {"dtype", column.dtype}};
        if (column.count != 0) field["count"] = column.count;
        fields.push_back(std::move(field));
    }
    const json header{{"format", "holdfast-evidence"},
                      {"version", kVersion},
                      {"robot", config.id},
                      {"stop", evidence.stop},
                      {"cause", shm::name_of(static_cast<shm::StopCause>(evidence.cause))},
                      {"stop_mono_ns", evidence.stop_mono_ns},
                      {"saved", saved},
                      {"entries", evidence.entries.size()},
                      {"missing", evidence.missing},
                      {"fields", std::move(fields)},
                      {"commands", names_of(config.commands)},
                      {"states", names_of(config.states)},
                      {"flags", kFlags},
                      {"causes", names_up_to(shm::kLastStopCause)},
                      {"modes", names_up_to(shm::kLastMode)},
                      {"controller_faults", names_up_to(shm::ControllerFault::kEstopRequest)},
                      {"crc32", crc32(bytes)}};
    return header.dump(-1, ' ', false, json::error_handler_t::replace) + "\n" + bytes;
}

fs::path evidence_name(std::uint64_t stop) {
    std::array<char, 40> digits{};
    std::snprintf(digits.data(), digits.size(), "%010llu", static_cast<unsigned long long>(stop));
    return "stop-" + std::string(digits.data()) + std::string(kSuffix);
}

std::vector<fs::path> evidence_files(const fs::path& directory) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        const fs::path& path = entry.path();
        if (path.extension() == kSuffix && path.filename().string().starts_with("stop-"))
            files.push_back(path);
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace holdfast::safety
