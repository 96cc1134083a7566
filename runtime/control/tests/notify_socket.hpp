// What systemd hears of a service: the other end of sd_notify().
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "frozen_thread.hpp"
#include "ipc/file_descriptor.hpp"
#include "test_process.hpp"

namespace holdfast {

// Processes that are started while this lives tell it.
class NotifySocket {
  public:
    explicit NotifySocket(const std::filesystem::path& folder) {
        const std::string path = (folder / "notify.sock").string();
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path.c_str());
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;
    ~NotifySocket() { ::unsetenv("NOTIFY_SOCKET"); }

    // Waits for a message with this text; those before it are gone.
    [[nodiscard]] bool hears(const std::string& what) {
        heard_.clear();
        return eventually([&] { return contains(what); });
    }
    // Whether it comes while the main thread of `process` works: so often does that thread go to sleep and
    // wake up. What was on its way in the first two rounds does not count.
    [[nodiscard]] bool hears_in(int rounds, pid_t process, const std::string& what) {
        EXPECT_TRUE(works_for(2, process));
        static_cast<void>(contains(what));
        heard_.clear();
        EXPECT_TRUE(works_for(rounds, process));
        return contains(what);
    }

  private:
    bool contains(const std::string& what) {
        std::array<char, 512> text{};
        for (;;) {
            const auto size = ::recv(listener_.get(), text.data(), text.size(), MSG_DONTWAIT);
            if (size <= 0) break;
            heard_.append(text.data(), static_cast<std::size_t>(size)).append("\n");
        }
        return heard_.find(what) != std::string::npos;
    }
    static bool works_for(int rounds, pid_t process) {
        const long before = FrozenThread::sleeps_of_main(process);
        return eventually([&] { return FrozenThread::sleeps_of_main(process) >= before + rounds; });
    }

    FileDescriptor listener_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    std::string heard_;
};

}  // namespace holdfast
