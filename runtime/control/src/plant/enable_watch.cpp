#include "plant/enable_watch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "rt/clock.hpp"
#include "rt/periodic.hpp"
#include "rt/realtime.hpp"

namespace holdfast::plant {
namespace {

constexpr std::int64_t kLookNs = 100'000;
constexpr int kPriority = 60;  // that of the simulation

}  // namespace

Expected<std::unique_ptr<EnableWatch>> EnableWatch::open(const std::filesystem::path& file) {
    FileDescriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) {
        return fail(file.string() + ": the enable line cannot be watched: " + std::strerror(errno) +
                    "; name the file that shows the level of the simulated line");
    }
    return std::unique_ptr<EnableWatch>(new EnableWatch(std::move(opened)));
}

EnableWatch::EnableWatch(FileDescriptor file) : file_(std::move(file)) {
    look();
    thread_ = std::jthread([this](const std::stop_token& stopping) {
        static_cast<void>(make_thread_realtime(kPriority, -1));
        Periodic periodic(kLookNs);
        while (!stopping.stop_requested()) {
            static_cast<void>(periodic.wait());
            look();
        }
    });
}

void EnableWatch::look() {
    char level = '0';
    // A line that cannot be read has no power.
    const bool high = ::pread(file_.get(), &level, 1, 0) == 1 && level == '1';
    const std::int64_t now_ns = monotonic_ns();
    const std::lock_guard lock(mutex_);
    if (high == level_ && changed_ns_ != 0) return;
    level_ = high;
    changed_ns_ = now_ns;
}

nlohmann::json EnableWatch::status() const {
    const std::lock_guard lock(mutex_);
    return {{"level", level_}, {"changed_mono_ns", changed_ns_}};
}

}  // namespace holdfast::plant
