// What a server does with good requests, bad ones, and peers that come and go.
#include "ipc/seqpacket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <thread>

namespace holdfast::ipc {
namespace {

using nlohmann::json;

// An echo server in a thread of its own.
class Ipc : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "holdfast-ipc-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
        start();
    }
    void TearDown() override {
        stop();
        std::filesystem::remove_all(directory_);
    }
    void start() {
        auto server = Server::listen(
            path(), [this](const Peer& peer, Message request) { return answer(peer, std::move(request)); },
            [this](const Peer& peer) {
                last_closed_ = peer.connection;
                ++closed_;
            });
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
        running_ = true;
        thread_ = std::thread([this] {
            while (running_) server_->serve(5);
        });
    }
    void stop() {
        running_ = false;
        if (thread_.joinable()) thread_.join();
        server_.reset();
    }
    Message answer(const Peer& peer, Message request) {
        if (request.body.contains("throw")) (void)request.body.at("throw").get<int>();
        if (request.body.contains("huge")) return {{{"text", std::string(kMaxMessageBytes, 'x')}}, {}};
        Message reply{
            {{"ok", true}, {"echo", request.body}, {"uid", peer.uid}, {"connection", peer.connection}}, {}};
        reply.descriptors = std::move(request.descriptors);
        return reply;
    }
    [[nodiscard]] std::filesystem::path path() const { return directory_ / "test.sock"; }
    [[nodiscard]] std::unique_ptr<Client> connect() const { return std::move(*Client::connect(path())); }
    // A peer that does not use our client.
    [[nodiscard]] FileDescriptor raw_peer() const {
        FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    static json exchange(int fd, const std::string& text) {
        EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
        std::string reply(kMaxMessageBytes, '\0');
        const ssize_t size = recv(fd, reply.data(), reply.size(), 0);
        return size <= 0 ? json() : json::parse(reply.substr(0, static_cast<std::size_t>(size)));
    }

    std::filesystem::path directory_;
    std::unique_ptr<Server> server_;
    std::thread thread_;
    std::atomic<bool> running_{false};
    std::atomic<int> closed_{0};
    std::atomic<int> last_closed_{0};
};

TEST_F(Ipc, AnswersAndTellsPeersApart) {
    const auto first = connect();
    const auto second = connect();
    const auto a = first->request({{"op", "x"}});
    const auto b = second->request({{"op", "y"}});
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->body["echo"]["op"], "x");
    EXPECT_EQ(a->body["uid"], geteuid());
    EXPECT_NE(a->body["connection"], b->body["connection"]);
}

TEST_F(Ipc, PassesDescriptorsBothWays) {
    const FileDescriptor file(memfd_create("passed", MFD_CLOEXEC));
    ASSERT_EQ(write(file.get(), "hold", 4), 4);
    const auto reply = connect()->request({{"op", "x"}}, {file.get()});
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->descriptors.size(), 1u);
    char text[4];
    ASSERT_EQ(pread(reply->descriptors[0].get(), text, 4, 0), 4);
    EXPECT_EQ(std::memcmp(text, "hold", 4), 0);
    EXPECT_NE(fcntl(reply->descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Ipc, RefusesWhatIsNotAJsonObjectAndGoesOn) {
    const FileDescriptor peer = raw_peer();
    for (const char* bad : {"no json", "[1]", "\"text\"", "{\"a\":", "\xff\xfe"}) {
        const json reply = exchange(peer.get(), bad);
        EXPECT_EQ(reply["ok"], false) << bad;
        EXPECT_NE(reply["error"].get<std::string>().find("JSON"), std::string::npos);
    }
    EXPECT_EQ(exchange(peer.get(), "{\"op\":\"x\"}")["ok"], true);
}

TEST_F(Ipc, RefusesAnOversizeMessageAndGoesOn) {
    const FileDescriptor peer = raw_peer();
    const json reply = exchange(peer.get(), std::string(kMaxMessageBytes + 1, ' '));
    EXPECT_EQ(reply["ok"], false);
    EXPECT_NE(reply["error"].get<std::string>().find("larger"), std::string::npos);
    std::string largest = "{\"op\":\"\"}";
    largest.insert(largest.size() - 2, std::string(1000, 'y'));
    EXPECT_EQ(exchange(peer.get(), largest)["ok"], true);
}

TEST_F(Ipc, RefusesTooManyDescriptorsWithoutKeepingThem) {
    const FileDescriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto client = connect();
    const auto reply = client->request({{"op", "x"}}, std::vector<int>(5, file.get()));
    EXPECT_FALSE(reply);
}

TEST_F(Ipc, AnswersARequestThatItsHandlerCannotRead) {
    const auto reply = connect()->request({{"throw", "text"}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body["ok"], false);
}

TEST_F(Ipc, AnswersInsteadOfAReplyThatIsTooLarge) {
    const auto reply = connect()->request({{"huge", true}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body["ok"], false);
}

TEST_F(Ipc, NoticesAClosedPeer) {
    auto client = connect();
    const auto reply = client->request({{"op", "x"}});
    ASSERT_TRUE(reply);
    EXPECT_TRUE(client->is_open());
    client.reset();
    while (closed_ == 0) std::this_thread::yield();
    EXPECT_EQ(last_closed_.load(), reply->body["connection"].get<int>());
}

TEST_F(Ipc, DropsAPeerThatNeverReads) {
    const FileDescriptor peer = raw_peer();
    const std::string request = "{\"op\":\"" + std::string(30'000, 'z') + "\"}";
    for (int i = 0; i < 100'000 && closed_ == 0; ++i)
        (void)send(peer.get(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    while (closed_ == 0) std::this_thread::yield();
    EXPECT_TRUE(connect()->request({{"op", "x"}}));
}

TEST_F(Ipc, ClientNoticesAServerThatWentAway) {
    const auto client = connect();
    ASSERT_TRUE(client->request({{"op", "x"}}));
    stop();
    EXPECT_FALSE(client->is_open());
    EXPECT_FALSE(client->request({{"op", "x"}}));
    EXPECT_FALSE(Client::connect(path()));
}

TEST_F(Ipc, ReplacesTheSocketOfADeadServerButNotOfALivingOne) {
    const auto second = Server::listen(path(), {}, {});
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("another process"), std::string::npos);
    stop();
    {
        const FileDescriptor dead(socket(AF_UNIX, SOCK_SEQPACKET, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
        ASSERT_EQ(bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    start();
    EXPECT_TRUE(connect()->request({{"op", "x"}}));
}

TEST_F(Ipc, IsOpenToTheGroupOnly) {
    struct stat status{};
    ASSERT_EQ(stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0660u);
}

TEST(Listen, NamesAPathThatIsTooLongOrHasNoDirectory) {
    const auto long_path = Server::listen(std::string(200, 'a'), {}, {});
    ASSERT_FALSE(long_path);
    EXPECT_NE(long_path.error().message.find("longer"), std::string::npos);
    const auto no_directory = Server::listen("/nonexistent/x.sock", {}, {});
    ASSERT_FALSE(no_directory);
    EXPECT_NE(no_directory.error().message.find("/nonexistent/x.sock"), std::string::npos);
}

TEST(Client, GivesUpOnAServerThatDoesNotAnswer) {
    const auto path =
        std::filesystem::temp_directory_path() / ("holdfast-ipc-silent-" + std::to_string(getpid()));
    const auto silent = Server::listen(path, {}, {});
    ASSERT_TRUE(silent);
    const auto client = std::move(*Client::connect(path));
    EXPECT_FALSE(client->request({{"op", "x"}}, {}, 10));
    EXPECT_FALSE(client->is_open());
    EXPECT_FALSE(client->request({{"op", "x"}}, {}, 10));
}

TEST(Peer, OnlyRootAndTheOwnUserArePrivileged) {
    EXPECT_TRUE((Peer{.connection = 1, .pid = 1, .uid = 0}.privileged()));
    EXPECT_TRUE((Peer{.connection = 1, .pid = 1, .uid = geteuid()}.privileged()));
    EXPECT_FALSE((Peer{.connection = 1, .pid = 1, .uid = geteuid() + 12345}.privileged()));
}

}  // namespace
}  // namespace holdfast::ipc
