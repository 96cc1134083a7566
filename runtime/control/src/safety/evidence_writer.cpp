#include "safety/evidence_writer.hpp"

#include <chrono>
#include <system_error>
#include <utility>

#include "safety/durable_file.hpp"
#include "safety/utc.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kInterval{100};
constexpr int kRetryIntervals = 10;

std::uintmax_t size_of(const fs::path& file) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(file, error);
    return error ? 0 : size;
}

}  // namespace

EvidenceWriter::EvidenceWriter(const RobotConfig& config, const EvidenceRing& ring, const Mailbox& mailbox,
                               fs::path directory, std::uint64_t stops_before, Limits limits)
    : config_(config),
      ring_(ring),
      mailbox_(mailbox),
      directory_(std::move(directory)),
      limits_(limits),
      stops_before_(stops_before),
      done_(stops_before == 0 ? 0 : stops_before - 1),
      thread_([this](const std::stop_token& stopping) { run(stopping); }) {}

EvidenceWriter::~EvidenceWriter() {
    thread_.request_stop();
    thread_.join();
}

EvidenceWriter::Status EvidenceWriter::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

void EvidenceWriter::run(const std::stop_token& stopping) {
    for (int interval = 1; !stopping.stop_requested(); ++interval) {
        while (take_next(true)) {
        }
        if (!waiting_text_.empty() && interval % kRetryIntervals == 0) write(waiting_file_, waiting_text_);
        std::unique_lock lock(mutex_);
        ended_.wait_for(lock, stopping, kInterval, [] { return false; });
    }
    while (take_next(false)) {
    }
}

// False: there is no stop to save, or not all that follows it has happened.
bool EvidenceWriter::take_next(bool wait_for_the_rest) {
    if (done_ >= mailbox_.last_sequence.load(std::memory_order_acquire)) return false;
    const std::uint64_t stop = done_ + 1;
    std::error_code ignored;
    const bool is_saved = stop <= stops_before_ && fs::exists(directory_ / evidence_name(stop), ignored);
    const auto evidence = is_saved ? std::nullopt : collect_evidence(ring_, stop, config_.tier1_period_ns());
    if (evidence && wait_for_the_rest && !evidence_is_complete(ring_, *evidence)) return false;
    done_ = stop;
    if (evidence) {
        save(*evidence);
    } else if (stop > stops_before_) {
        const std::lock_guard lock(mutex_);
        ++status_.lost;
        status_.error =
            "the entries of stop " + std::to_string(stop) + " were overwritten before they were saved";
    }
    return true;
}

void EvidenceWriter::save(const Evidence& evidence) {
    if (!waiting_text_.empty()) {  // a newer stop takes its place
        const std::lock_guard lock(mutex_);
        ++status_.lost;
    }
    waiting_file_ = directory_ / evidence_name(evidence.stop);
    waiting_text_ = format_evidence(evidence, config_, utc_now());
    write(waiting_file_, waiting_text_);
}

void EvidenceWriter::write(const fs::path& file, const std::string& text) {
    auto written = make_room(text.size());
    if (written) written = save_durably(file, text);
    if (!written) {
        const std::lock_guard lock(mutex_);
        status_.error = written.error().message;
        return;
    }
    waiting_text_.clear();
    drop_oldest(limits_.max_files);
    const std::lock_guard lock(mutex_);
    ++status_.saved;
    status_.error.reset();
}

// Old evidence goes only if that is enough: another's full disk is no reason to lose it.
Expected<void> EvidenceWriter::make_room(std::uintmax_t bytes) {
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) return fail(directory_.string() + ": cannot be created: " + error.message());
    const std::uintmax_t available = fs::space(directory_, error).available;
    if (error) return fail(directory_.string() + ": cannot be looked at: " + error.message());
    std::vector<fs::path> files = evidence_files(directory_);
    std::uintmax_t could_have = available;
    std::size_t go = 0;
    while (could_have < bytes + limits_.reserve_bytes && go < files.size())
        could_have += size_of(files[go++]);
    if (could_have < bytes + limits_.reserve_bytes)
        return fail(directory_.string() + ": its disk is too full to save evidence; free space on it");
    if (go > 0) drop_oldest(files.size() - go);
    return {};
}

void EvidenceWriter::drop_oldest(std::size_t keep) {
    const std::vector<fs::path> files = evidence_files(directory_);
    for (std::size_t i = 0; i + keep < files.size(); ++i) {
        std::error_code error;
        if (!fs::remove(files[i], error)) continue;
        const std::lock_guard lock(mutex_);
        ++status_.dropped;
    }
}

}  // namespace holdfast::safety
