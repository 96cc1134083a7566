#include "core/resume_marker.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ipc/file_descriptor.hpp"

namespace holdfast::core {
namespace {

bool sync_directory(const std::filesystem::path& directory) {
    const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return fd && ::fsync(fd.get()) == 0;
}

}  // namespace

bool ResumeMarker::take() {
    std::error_code error;
    const bool was_armed = std::filesystem::remove(file_, error);
    if (was_armed) sync_directory(file_.parent_path());
    return was_armed;
}

Expected<void> ResumeMarker::set(bool armed) {
    if (armed == armed_) return {};
    std::error_code error;
    std::filesystem::create_directories(file_.parent_path(), error);
    if (armed) {
        const FileDescriptor fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
        if (!fd || ::fsync(fd.get()) != 0)
            return fail(file_.string() + ": cannot be written: " + std::strerror(errno));
    } else {
        std::filesystem::remove(file_, error);
        if (error) return fail(file_.string() + ": cannot be removed: " + error.message());
    }
    if (!sync_directory(file_.parent_path())) {
        return fail(file_.parent_path().string() + ": cannot be written: " + std::strerror(errno));
    }
    armed_ = armed;
    return {};
}

}  // namespace holdfast::core
