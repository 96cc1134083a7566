// `--enable-line FILE`: watches the enable line at the drives' end, as a file that holds its level ("0" or
// "1"; what gpio-sim shows of a simulated line). A thread of its own looks ten times a millisecond.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "error.hpp"
#include "ipc/file_descriptor.hpp"

namespace holdfast::plant {

class EnableWatch {
  public:
    [[nodiscard]] static Expected<std::unique_ptr<EnableWatch>> open(const std::filesystem::path& file);

    // {"level": bool, "changed_mono_ns": when it was first seen at this level}
    [[nodiscard]] nlohmann::json status() const;

  private:
    explicit EnableWatch(FileDescriptor file);
    void look();

    FileDescriptor file_;
    mutable std::mutex mutex_;
    bool level_{false};
    std::int64_t changed_ns_{0};
    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::plant
