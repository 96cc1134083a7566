#include "safety/record.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>
#include <system_error>

#include "ipc/file_descriptor.hpp"
#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr std::size_t kMaxFileBytes = 65'536;

// FNV-1a, 64 bits: against a damaged sector, not against a person.
std::string checksum(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), hash, 16).ptr;
    return {digits.data(), end};
}

std::optional<shm::StopCause> cause_named(const std::string& name) {
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(shm::StopCause::kStateRecordUnreadable); ++i) {
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
    if (!body.is_object() || !is_flat(body) || !body.contains("checksum") || !body["checksum"].is_string()) return std::nullopt;
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

Error save_error(const fs::path& file, const char* step, int error) {
    std::string mend = "look at the disk and its file system";
    if (error == ENOSPC || error == EDQUOT) mend = "free space on its disk";
    if (error == EACCES || error == EPERM || error == EROFS)
        mend = "make its directory writable for this user";
    return {file.string() + ": cannot " + std::string(step) + ": " + system_text(error) + "; " + mend};
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

Expected<void> write_durably(const fs::path& file, std::string_view text) {
    const FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!fd) return tl::unexpected(save_error(file, "be created", errno));
    if (!write_all(fd.get(), text)) return tl::unexpected(save_error(file, "be written", errno));
    if (::fsync(fd.get()) != 0) return tl::unexpected(save_error(file, "be brought to the disk", errno));
    return {};
}

Expected<void> sync_directory(const fs::path& directory) {
    const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0)
        return tl::unexpected(save_error(directory, "be brought to the disk", errno));
    return {};
}

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
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error) return tl::unexpected(save_error(file.parent_path(), "be created", error.value()));
    json body = body_of(record);
    body["checksum"] = checksum(text_of(body));
    const fs::path beside = file.string() + ".tmp";
    if (auto written = write_durably(beside, text_of(body)); !written) {
        ::unlink(beside.c_str());
        return written;
    }
    if (::rename(beside.c_str(), file.c_str()) != 0)
        return tl::unexpected(save_error(file, "be replaced", errno));
    return sync_directory(file.parent_path());
}

}  // namespace holdfast::safety
