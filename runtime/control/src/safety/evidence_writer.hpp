// Saves what the ring holds around each stop, in a thread of its own: after the latch is on the disk, never
// at its cost. A disk that is nearly full loses old evidence, then new evidence, and nothing else.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "robot/config.hpp"
#include "safety/evidence_file.hpp"
#include "safety/mailbox.hpp"

namespace holdfast::safety {

class EvidenceWriter {
  public:
    struct Limits {
        std::size_t max_files{};
        std::uintmax_t reserve_bytes{16u << 20u};  // left free on the disk, for the stop record and others
    };
    struct Status {
        std::uint64_t saved{};
        std::uint64_t dropped{};           // old files that made room
        std::uint64_t lost{};              // stops of which nothing was saved
        std::optional<std::string> error;  // set: the last attempt failed, and why; it tries again
    };

    // `stops_before` is the number of the last stop before this process: its evidence may still be in the
    // ring. The three references must outlive this object.
    EvidenceWriter(const RobotConfig& config, const EvidenceRing& ring, const Mailbox& mailbox,
                   std::filesystem::path directory, std::uint64_t stops_before, Limits limits);
    ~EvidenceWriter();
    EvidenceWriter(const EvidenceWriter&) = delete;
    EvidenceWriter& operator=(const EvidenceWriter&) = delete;
    [[nodiscard]] Status status() const;

  private:
    void run(const std::stop_token& stopping);
    [[nodiscard]] bool take_next(bool wait_for_the_rest);
    void save(const Evidence& evidence);
    void write(const std::filesystem::path& file, const std::string& text);
    [[nodiscard]] Expected<void> make_room(std::uintmax_t bytes);
    void drop_oldest(std::size_t keep);

    const RobotConfig& config_;
    const EvidenceRing& ring_;
    const Mailbox& mailbox_;
    const std::filesystem::path directory_;
    const Limits limits_;
    const std::uint64_t stops_before_;
    std::uint64_t done_;  // every stop up to this one is saved or given up

    // Could not be written yet.
    std::filesystem::path waiting_file_;
    std::string waiting_text_;

    mutable std::mutex mutex_;
    std::condition_variable_any ended_;
    Status status_;
    std::jthread thread_;  // last: it uses the above
};

}  // namespace holdfast::safety
