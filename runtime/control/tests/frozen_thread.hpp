// The most urgent real-time thread of another process, stopped by itself: the others of that process go on.
#pragma once

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace holdfast {

class FrozenThread {
  public:
    // Nothing: the process has no real-time thread, or it may not be traced here.
    static std::optional<FrozenThread> most_urgent_of(pid_t process) {
        pid_t chosen = 0;
        int highest = 0;
        for (const auto& task : std::filesystem::directory_iterator(task_folder(process))) {
            const auto thread = static_cast<pid_t>(std::stol(task.path().filename().string()));
            sched_param param{};
            if (::sched_getscheduler(thread) != SCHED_FIFO || ::sched_getparam(thread, &param) != 0) continue;
            if (param.sched_priority <= highest) continue;
            highest = param.sched_priority;
            chosen = thread;
        }
        if (chosen == 0 || ::ptrace(PTRACE_SEIZE, chosen, nullptr, nullptr) != 0) return std::nullopt;
        FrozenThread frozen(chosen);
        if (::ptrace(PTRACE_INTERRUPT, chosen, nullptr, nullptr) != 0) return std::nullopt;
        int status = 0;
        if (::waitpid(chosen, &status, __WALL) != chosen) return std::nullopt;
        return frozen;
    }
    FrozenThread(FrozenThread&& other) noexcept : thread_(std::exchange(other.thread_, 0)) {}
    FrozenThread& operator=(FrozenThread&&) = delete;
    ~FrozenThread() {
        if (thread_ != 0) ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
    }

    // How often the main thread of a process has gone to sleep: it works while this grows.
    static long sleeps_of_main(pid_t process) {
        std::ifstream status(task_folder(process) / std::to_string(process) / "status");
        constexpr std::string_view kKey = "voluntary_ctxt_switches:";
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with(kKey)) return std::stol(line.substr(kKey.size()));
        }
        return 0;
    }

  private:
    explicit FrozenThread(pid_t thread) : thread_(thread) {}
    static std::filesystem::path task_folder(pid_t process) {
        return std::filesystem::path("/proc") / std::to_string(process) / "task";
    }

    pid_t thread_;
};

}  // namespace holdfast
