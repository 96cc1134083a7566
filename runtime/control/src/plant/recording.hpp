// `--record FILE`: one JSON line a received frame, written by a thread of its own so that the simulation
// never waits for the disk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "error.hpp"

namespace holdfast::plant {

struct RecordedFrame {
    std::int64_t mono_ns{};
    std::uint32_t node{};
    std::uint32_t command{};
    std::optional<double> value;
    std::string from;
};

class Recording {
  public:
    // Starts an empty file.
    [[nodiscard]] static Expected<std::unique_ptr<Recording>> create(const std::filesystem::path& file);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    void add(RecordedFrame frame);

  private:
    explicit Recording(std::ofstream file);
    void run(const std::stop_token& stopping);

    std::ofstream file_;
    std::mutex mutex_;
    std::condition_variable_any more_;
    std::vector<RecordedFrame> waiting_;
    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::plant
