// Who may do what, without the daemon's threads.
#include "safety/service.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "temporary_directory.hpp"

namespace holdfast::safety {
namespace {

class ServiceTest : public testing::Test {
  protected:
    bool ok(const ipc::Peer& peer, const nlohmann::json& body) {
        const auto reply = service_.handle(peer, {body, {}});
        last_error_ = reply.body.value("error", "");
        return reply.body.at("ok").get<bool>();
    }

    TemporaryDirectory directory_;
    Mailbox mailbox_;
    FileDescriptor latch_event_{::eventfd(0, EFD_CLOEXEC)};
    Recorder recorder_{directory_.path() / "estop.json", {}, mailbox_, latch_event_.get()};
    // Stands in for the loop: time goes on, decisions are the test's.
    std::jthread periods_{[this](const std::stop_token& stopping) {
        while (!stopping.stop_requested()) {
            mailbox_.periods.fetch_add(1);
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }};
    Service service_{mailbox_, recorder_, 0, {}};
    std::string last_error_;
    ipc::Peer stranger_{.connection = 1, .pid = 1, .uid = ::geteuid() + 12345};
    ipc::Peer other_{.connection = 2, .pid = 1, .uid = ::geteuid()};
};

TEST_F(ServiceTest, OnlyThePrivilegedMayReset) {
    EXPECT_FALSE(ok(stranger_, {{"op", "reset"}}));
    EXPECT_NE(last_error_.find("only root or the user of holdfast-safety"), std::string::npos);
    EXPECT_EQ(mailbox_.resets.load(), 0u);
}

TEST_F(ServiceTest, OnlyTheAttachedConnectionBeatsAndDetaches) {
    ASSERT_TRUE(ok(other_, {{"op", "attach"}, {"role", "worker"}}));
    EXPECT_FALSE(ok(stranger_, {{"op", "heartbeat"}}));
    EXPECT_FALSE(ok(stranger_, {{"op", "detach"}}));
    service_.closed(stranger_);
    EXPECT_EQ(mailbox_.worker_losses.load(), 0u);
    EXPECT_EQ(mailbox_.worker_beats.load(), 0u);
    EXPECT_TRUE(ok(other_, {{"op", "heartbeat"}}));
    EXPECT_EQ(mailbox_.worker_beats.load(), 1u);
    service_.closed(other_);
    EXPECT_EQ(mailbox_.worker_losses.load(), 1u);
    EXPECT_TRUE(mailbox_.worker_attached.load());  // lost is not detached
}

// Hazard: a worker that was taken over attaches as the core and says that every stop is carried out.
TEST_F(ServiceTest, OnlyTheCoresUserAttachesAsTheCore) {
    EXPECT_FALSE(ok(stranger_, {{"op", "attach"}, {"role", "core"}}));
    EXPECT_NE(last_error_.find("only root and the users of"), std::string::npos) << last_error_;
    Service robots{mailbox_, recorder_, 0, {}, {.core_user = stranger_.uid}};
    const ipc::Message reply = robots.handle(stranger_, {{{"op", "attach"}, {"role", "core"}}, {}});
    EXPECT_EQ(reply.body["error"], "a core attaches with one descriptor, of its state segment");
}

TEST_F(ServiceTest, StopThatTheLoopDoesNotTakeIsNoSuccess) {
    EXPECT_FALSE(ok(stranger_, {{"op", "estop"}}));
    EXPECT_NE(last_error_.find("the stop is not taken"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::safety
