#include "safety/watchdog.hpp"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace holdfast::safety {
namespace {

// The magic close: written last, it tells the driver that the close which follows is meant.
constexpr char kMagic = 'V';
constexpr char kFood = '\0';

bool put(int device, char byte) { return ::write(device, &byte, 1) == 1; }

std::string open_error(const std::filesystem::path& device, int error) {
    std::string mend = "name a watchdog of this machine (ls /dev/watchdog*)";
    if (error == EBUSY)
        mend =
            "another process has it; set RuntimeWatchdogSec=off in systemd's system.conf, or leave out "
            "[safety] watchdog";
    if (error == EACCES) mend = "give the safety daemon's user access to it";
    return device.string() + ": cannot be opened: " + std::generic_category().message(error) + "; " + mend;
}

}  // namespace

Expected<HardwareWatchdog> HardwareWatchdog::open(const std::filesystem::path& device, int timeout_s) {
    FileDescriptor fd(::open(device.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail(open_error(device, errno));
    int actual_s = timeout_s;
    const bool set = ::ioctl(fd.get(), WDIOC_SETTIMEOUT, &actual_s) == 0;
    // A driver with one fixed time-out is as good, if that is not longer than what was asked for.
    const bool known = set || ::ioctl(fd.get(), WDIOC_GETTIMEOUT, &actual_s) == 0;
    if (known && (set || actual_s <= timeout_s)) return HardwareWatchdog(std::move(fd), actual_s);
    static_cast<void>(put(fd.get(), kMagic));
    if (!known) return fail(device.string() + ": is not a watchdog; name one (ls /dev/watchdog*)");
    return fail(device.string() + ": has a fixed time-out of " + std::to_string(actual_s) +
                " s; set watchdog_timeout_s to no less");
}

bool HardwareWatchdog::feed() { return put(device_.get(), kFood); }

void HardwareWatchdog::switch_off() {
    static_cast<void>(put(device_.get(), kMagic));
    device_ = FileDescriptor();
}

}  // namespace holdfast::safety
