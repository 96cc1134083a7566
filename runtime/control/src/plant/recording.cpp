#include "plant/recording.hpp"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace holdfast::plant {

Expected<std::unique_ptr<Recording>> Recording::create(const std::filesystem::path& file) {
    std::ofstream stream(file, std::ios::trunc);
    if (!stream) {
        return fail(file.string() + ": the record cannot be written: " + std::strerror(errno) +
                    "; choose a file in a directory that exists and is writable");
    }
    return std::unique_ptr<Recording>(new Recording(std::move(stream)));
}

Recording::Recording(std::ofstream file)
    : file_(std::move(file)), thread_([this](const std::stop_token& stopping) { run(stopping); }) {}

Recording::~Recording() {
    thread_.request_stop();
    thread_.join();
}

void Recording::add(RecordedFrame frame) {
    {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(frame));
    }
    more_.notify_one();
}

void Recording::run(const std::stop_token& stopping) {
    std::vector<RecordedFrame> taken;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            more_.wait(lock, stopping, [this] { return !waiting_.empty(); });
            taken.swap(waiting_);
        }
        for (const RecordedFrame& frame : taken) {
            const nlohmann::json line{
                {"mono_ns", frame.mono_ns},
                {"node", frame.node},
                {"cmd", frame.command},
                {"value", frame.value ? nlohmann::json(*frame.value) : nlohmann::json(nullptr)},
                {"from", frame.from}};
            file_ << line.dump() << '\n';
        }
        file_.flush();
        const bool done = taken.empty() && stopping.stop_requested();
        taken.clear();
        if (done) return;
    }
}

}  // namespace holdfast::plant
