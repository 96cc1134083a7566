// [control] resume = "auto": remembers on disk that the robot was armed, so that after a power cut, and only
// then, it may arm by itself. A stop of any kind takes the note away. Service thread only.
#pragma once

#include <filesystem>

#include "error.hpp"

namespace holdfast::core {

class ResumeMarker {
  public:
    explicit ResumeMarker(std::filesystem::path file) : file_(std::move(file)) {}
    // True if the last run ended while armed. The note is gone afterwards.
    [[nodiscard]] bool take();
    // Durable when it returns. Does nothing if the note already says so.
    [[nodiscard]] Expected<void> set(bool armed);

  private:
    std::filesystem::path file_;
    bool armed_{false};
};

}  // namespace holdfast::core
