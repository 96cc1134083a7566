// The hardware watchdog (/dev/watchdog*, Documentation/watchdog/watchdog-api.rst): resets the machine when it
// is not fed. It watches the whole chain below the main thread: processor, kernel, this process and its loop.
// Main thread only.
#pragma once

#include <filesystem>
#include <string>

#include "error.hpp"
#include "ipc/file_descriptor.hpp"

namespace holdfast::safety {

class HardwareWatchdog {
  public:
    // Starts it. Only one process can have it open.
    [[nodiscard]] static Expected<HardwareWatchdog> open(const std::filesystem::path& device, int timeout_s);
    // An open device whose time-out is set already.
    explicit HardwareWatchdog(FileDescriptor device, int timeout_s = 0)
        : device_(std::move(device)), timeout_s_(timeout_s) {}

    // False: it did not take it, and the machine will be reset.
    [[nodiscard]] bool feed();
    // Switches it off, if the driver lets it ("nowayout" does not: then the machine is reset after the
    // time-out unless somebody feeds on). Without this call it stays on when the process ends.
    void switch_off();
    // What the driver made of the time-out that was asked for.
    [[nodiscard]] int timeout_s() const { return timeout_s_; }

  private:
    FileDescriptor device_;
    int timeout_s_;
};

}  // namespace holdfast::safety
