#pragma once

#include <filesystem>
#include <string_view>

#include "error.hpp"

namespace holdfast::verify {

// A file that appears under its name whole or not at all: written and synced under a temporary name beside
// it, then renamed. Without publish() nothing is left.
class StagedFile {
  public:
    [[nodiscard]] static Expected<StagedFile> write(const std::filesystem::path& target,
                                                    std::string_view bytes);
    StagedFile(StagedFile&& other) noexcept;
    StagedFile& operator=(StagedFile&&) = delete;
    ~StagedFile();

    // Where the bytes are until publish().
    [[nodiscard]] const std::filesystem::path& path() const { return temporary_; }
    [[nodiscard]] Expected<void> publish();

  private:
    explicit StagedFile(std::filesystem::path target);
    std::filesystem::path target_;
    std::filesystem::path temporary_;
};

}  // namespace holdfast::verify
