#include "verify/source_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ipc/file_descriptor.hpp"
#include "wasm/controller.hpp"

namespace holdfast::verify {
namespace {

Expected<std::string> unreadable(const std::filesystem::path& file, const std::string& why) {
    return fail("the source " + file.string() + " cannot be read: " + why +
                "; check its path and permissions");
}

}  // namespace

Expected<std::string> read_source(const std::filesystem::path& file) {
    // Opening a FIFO would wait for its writer.
    const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return unreadable(file, std::strerror(errno));
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return unreadable(file, std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return unreadable(file, "it is not a regular file");
    std::string source(wasm::kMaxSourceBytes + 1, '\0');
    std::size_t size = 0;
    while (size < source.size()) {
        const ssize_t count = ::read(fd.get(), source.data() + size, source.size() - size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unreadable(file, std::strerror(errno));
        if (count == 0) break;
        size += static_cast<std::size_t>(count);
    }
    source.resize(size);
    return source;
}

}  // namespace holdfast::verify
