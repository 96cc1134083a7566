// Real executables as children of a test: started, asked, killed. Nothing here waits without a deadline.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ipc/seqpacket.hpp"

namespace holdfast {

// Generous: a loaded machine is slow, and only a failing test waits for so long.
inline constexpr std::chrono::seconds kDeadline{30};

inline bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

// Its standard error goes to a file.
class Process {
  public:
    Process(std::vector<std::string> arguments, const std::filesystem::path& log) : log_(log) {
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ != 0) return;
        const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ::dup2(file, STDERR_FILENO);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() {
        if (pid_ > 0) kill();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill() { finish(SIGKILL); }
    void signal(int number) const { ::kill(pid_, number); }
    // Its exit code after SIGTERM; -1 if it died of a signal or had to be killed.
    int terminate() { return finish(SIGTERM); }
    // Its exit code, once it ends by itself.
    int wait() { return finish(0); }
    [[nodiscard]] std::string log() const {
        std::ifstream stream(log_);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

  private:
    int finish(int signal) {
        int status = 0;
        if (signal != 0) ::kill(pid_, signal);
        const bool ended = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
        if (!ended) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, &status, 0);
        }
        pid_ = -1;
        return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    std::filesystem::path log_;
    pid_t pid_{-1};
};

// One request on a connection of its own; empty if nobody answers.
inline std::optional<nlohmann::json> ask(const std::filesystem::path& socket, const nlohmann::json& request) {
    const auto client = ipc::Client::connect(socket);
    if (!client) return std::nullopt;
    auto reply = (*client)->request(request, {}, 20'000);
    if (!reply) return std::nullopt;
    return std::move(reply->body);
}

}  // namespace holdfast
