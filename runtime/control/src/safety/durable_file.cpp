#include "safety/durable_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>

#include "ipc/file_descriptor.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

Error save_error(const fs::path& file, const char* step, int error) {
    std::string mend = "look at the disk and its file system";
    if (error == ENOSPC || error == EDQUOT) mend = "free space on its disk";
    if (error == EACCES || error == EPERM || error == EROFS)
        mend = "make its directory writable for this user";
    return {file.string() + ": cannot " + std::string(step) + ": " + std::generic_category().message(error) +
            "; " + mend};
}

bool write_all(int fd, std::string_view content) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

Expected<void> write_durably(const fs::path& file, std::string_view content) {
    const FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!fd) return tl::unexpected(save_error(file, "be created", errno));
    if (!write_all(fd.get(), content)) return tl::unexpected(save_error(file, "be written", errno));
    if (::fsync(fd.get()) != 0) return tl::unexpected(save_error(file, "be brought to the disk", errno));
    return {};
}

Expected<void> sync_directory(const fs::path& directory) {
    const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0)
        return tl::unexpected(save_error(directory, "be brought to the disk", errno));
    return {};
}

}  // namespace

Expected<void> save_durably(const fs::path& file, std::string_view content) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error) return tl::unexpected(save_error(file.parent_path(), "be created", error.value()));
    const fs::path beside = file.string() + ".tmp";
    if (auto written = write_durably(beside, content); !written) {
        ::unlink(beside.c_str());
        return written;
    }
    if (::rename(beside.c_str(), file.c_str()) != 0)
        return tl::unexpected(save_error(file, "be replaced", errno));
    return sync_directory(file.parent_path());
}

std::string checksum(std::string_view content) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : content) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), hash, 16).ptr;
    return {digits.data(), end};
}

}  // namespace holdfast::safety
