#include "verify/staged_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "ipc/file_descriptor.hpp"

namespace holdfast::verify {
namespace {

constexpr mode_t kMode = 0644;

tl::unexpected<Error> unwritable(const std::filesystem::path& file, int error) {
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return fail("the compiled controller " + file.string() + " cannot be written: " + std::strerror(error) +
                (full ? "; free some space there" : "; check its folder and permissions"));
}

// 0, or errno.
int write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return ::fsync(fd) == 0 ? 0 : errno;
}

int sync_folder(const std::filesystem::path& folder) {
    const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return fd && ::fsync(fd.get()) == 0 ? 0 : errno;
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
    return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

StagedFile::StagedFile(std::filesystem::path target)
    : target_(std::move(target)),
      temporary_(folder_of(target_) /
                 ("." + target_.filename().string() + "." + std::to_string(::getpid()) + ".tmp")) {}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)) {
    other.temporary_.clear();
}

StagedFile::~StagedFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Expected<StagedFile> StagedFile::write(const std::filesystem::path& target, std::string_view bytes) {
    StagedFile staged(target);
    // A file of its own: what lies there may be another one, renamed, that the core has mapped.
    ::unlink(staged.temporary_.c_str());
    const FileDescriptor fd(
        ::open(staged.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
    if (!fd) return unwritable(target, errno);
    if (const int error = write_all(fd.get(), bytes); error != 0) return unwritable(target, error);
    return staged;
}

Expected<void> StagedFile::publish() {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) return unwritable(target_, errno);
    temporary_.clear();
    if (const int error = sync_folder(folder_of(target_)); error != 0) return unwritable(target_, error);
    return {};
}

}  // namespace holdfast::verify
