#include "safety/record.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>
#include <system_error>

#include "ipc/file_descriptor.hpp"
#include "safety/durable_file.hpp"
#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr std::size_t kMaxFileBytes = 65'536;

std::optional<shm::StopCause> cause_named(const std::string& name) {
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(shm::kLastStopCause); ++i) {
        const auto cause = static_cast<shm::StopCause>(i);
        if (shm::name_of(cause) == name) return cause;
    }
    return std::nullopt;
}

json body_of(const LatchRecord& record) {
    return {{"version", kVersion},
            {"latch_sequence", record.latch_sequence},
            {"last_sequence", record.last_sequence},
            {"cause", shm::name_of(record.cause)},
            {"reason", record.reason},
            {"since", record.since}};
}

// A record is flat; what is nested might be so deeply that writing it out again overflows the stack.
bool is_flat(const json& body) {
    return std::none_of(body.begin(), body.end(), [](const json& value) { return value.is_structured(); });
}

std::string text_of(const json& body) { return body.dump(-1, ' ', false, json::error_handler_t::replace); }

bool consistent(const LatchRecord& record) {
    const bool latched = record.latch_sequence != 0;
    return record.latch_sequence <= record.last_sequence &&
           latched == (record.cause != shm::StopCause::kNone);
}

// Empty if anything about the text is not as save_record wrote it.
std::optional<LatchRecord> parse(const std::string& text) {
    json body = json::parse(text, nullptr, false);
    if (!body.is_object() || !is_flat(body) || !body.contains("checksum") || !body["checksum"].is_string())
        return std::nullopt;
    const auto expected = body["checksum"].get<std::string>();
    body.erase("checksum");
    if (checksum(text_of(body)) != expected) return std::nullopt;
    try {
        const auto cause = cause_named(body.at("cause").get<std::string>());
        if (body.at("version") != kVersion || !cause) return std::nullopt;
        LatchRecord record{.latch_sequence = body.at("latch_sequence").get<std::uint64_t>(),
                           .last_sequence = body.at("last_sequence").get<std::uint64_t>(),
                           .cause = *cause,
                           .reason = body.at("reason").get<std::string>(),
                           .since = body.at("since").get<std::string>()};
        return consistent(record) ? std::optional(std::move(record)) : std::nullopt;
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

LoadedRecord damaged(const std::string& why) {
    LoadedRecord loaded;
    loaded.record.last_sequence = static_cast<std::uint64_t>(std::time(nullptr));
    loaded.damage = why;
    return loaded;
}

std::string system_text(int error) { return std::generic_category().message(error); }

// The damaged file stays beside the new one, for whoever looks for the reason.
void keep_evidence(const fs::path& file) {
    const fs::path evidence = file.string() + ".damaged";
    std::error_code ignored;
    fs::remove(evidence, ignored);
    fs::create_hard_link(file, evidence, ignored);
}

}  // namespace

LoadedRecord load_record(const fs::path& file) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error) {
        return damaged(file.parent_path().string() + " cannot be created: " + error.message() +
                       "; make it a directory that this user may write to");
    }
    const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd && errno == ENOENT) return {};
    if (!fd) return damaged(file.string() + " cannot be opened: " + system_text(errno));
    std::string text(kMaxFileBytes, '\0');
    const ssize_t size = ::read(fd.get(), text.data(), text.size());
    if (size < 0) return damaged(file.string() + " cannot be read: " + system_text(errno));
    text.resize(static_cast<std::size_t>(size));
    if (auto record = parse(text)) return {std::move(*record), std::nullopt};
    keep_evidence(file);
    return damaged(file.string() + " is damaged (kept as " + file.filename().string() + ".damaged)");
}

Expected<void> save_record(const fs::path& file, const LatchRecord& record) {
    json body = body_of(record);
    body["checksum"] = checksum(text_of(body));
    return save_durably(file, text_of(body));
}

}  // namespace holdfast::safety
