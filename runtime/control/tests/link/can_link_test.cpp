// What a CAN controller says of itself. The socket is one of a pair that carries struct can_frame, as a raw
// CAN socket does; with a vcan interface the same is seen through the kernel.
#include "link/can_link.hpp"

#include <gtest/gtest.h>
#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "link/can_health.hpp"
#include "link/wire.hpp"

namespace holdfast::link {
namespace {

can_frame error_frame(canid_t kind, std::uint8_t controller = 0) {
    can_frame raw{};
    raw.can_id = CAN_ERR_FLAG | kind;
    raw.can_dlc = CAN_ERR_DLC;
    raw.data[1] = controller;
    return raw;
}

class CanLinkTest : public testing::Test {
  protected:
    void SetUp() override {
        int ends[2] = {-1, -1};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
        link_ = make_can_link(FileDescriptor(ends[0]));
        bus_ = FileDescriptor(ends[1]);
    }
    LinkResult after(const can_frame& raw) {
        EXPECT_EQ(::send(bus_.get(), &raw, sizeof raw, 0), static_cast<ssize_t>(sizeof raw));
        CanFrame frame;
        return link_->receive(frame);
    }
    const LinkHealth& health() const { return link_->health(); }

    std::unique_ptr<Link> link_;
    FileDescriptor bus_;
};

TEST_F(CanLinkTest, BusOffMakesTheLinkUselessUntilTheControllerIsRestarted) {
    EXPECT_TRUE(health().usable);
    EXPECT_EQ(after(error_frame(CAN_ERR_BUSOFF)), LinkResult::kError);
    EXPECT_FALSE(health().usable);
    EXPECT_EQ(after(error_frame(CAN_ERR_BUSOFF)), LinkResult::kError);
    EXPECT_EQ(health().bus_off, 1u);
    EXPECT_EQ(after(error_frame(CAN_ERR_RESTARTED)), LinkResult::kError);
    EXPECT_TRUE(health().usable);
    EXPECT_EQ(health().restarts, 1u);
}

TEST_F(CanLinkTest, AFrameThatIsTakenByTheKernelDoesNotMakeABusOffGood) {
    (void)after(error_frame(CAN_ERR_BUSOFF));
    EXPECT_EQ(link_->send({.id = 1, .size = 1}), LinkResult::kOk);
    EXPECT_FALSE(health().usable);
}

TEST_F(CanLinkTest, ADataFrameProvesThatTheControllerIsBack) {
    (void)after(error_frame(CAN_ERR_BUSOFF));
    EXPECT_EQ(after(to_wire({.id = 0x21, .size = 1})), LinkResult::kOk);
    EXPECT_TRUE(health().usable);
}

TEST_F(CanLinkTest, ErrorPassiveComesAndGoes) {
    EXPECT_EQ(after(error_frame(CAN_ERR_CRTL, CAN_ERR_CRTL_TX_PASSIVE)), LinkResult::kError);
    EXPECT_TRUE(health().error_passive);
    (void)after(error_frame(CAN_ERR_CRTL, CAN_ERR_CRTL_RX_PASSIVE));
    EXPECT_EQ(health().passive_episodes, 1u);
    (void)after(error_frame(CAN_ERR_CRTL, CAN_ERR_CRTL_ACTIVE));
    EXPECT_FALSE(health().error_passive);
    EXPECT_TRUE(health().usable);
    (void)after(error_frame(CAN_ERR_CRTL, CAN_ERR_CRTL_TX_PASSIVE));
    EXPECT_EQ(health().passive_episodes, 2u);
}

TEST_F(CanLinkTest, MissingAcknowledgesAndOverflowsAreCounted) {
    (void)after(error_frame(CAN_ERR_ACK));
    (void)after(error_frame(CAN_ERR_ACK | CAN_ERR_CRTL, CAN_ERR_CRTL_RX_OVERFLOW));
    EXPECT_EQ(health().ack_errors, 2u);
    EXPECT_EQ(health().overflows, 1u);
}

TEST_F(CanLinkTest, WhatIsNoDataFrameIsAnErrorAndNoState) {
    can_frame remote = to_wire({.id = 0x21, .size = 1});
    remote.can_id |= CAN_RTR_FLAG;
    EXPECT_EQ(after(remote), LinkResult::kError);
    const char half[8] = {};
    ASSERT_EQ(::send(bus_.get(), half, sizeof half, 0), 8);
    CanFrame frame;
    EXPECT_EQ(link_->receive(frame), LinkResult::kError);
    EXPECT_TRUE(health().usable);
}

TEST_F(CanLinkTest, EverythingThatWaitsArrivesInItsOrder) {
    constexpr std::uint32_t kFrames = 100;  // more than are taken with one system call
    for (std::uint32_t id = 0; id < kFrames; ++id) {
        const can_frame raw = to_wire({.id = id, .size = 8});
        ASSERT_EQ(::send(bus_.get(), &raw, id == 40 ? 5 : sizeof raw, 0), id == 40 ? 5 : 16);
    }
    CanFrame frame;
    for (std::uint32_t id = 0; id < kFrames; ++id) {
        ASSERT_EQ(link_->receive(frame), id == 40 ? LinkResult::kError : LinkResult::kOk) << id;
        if (id != 40) {
            EXPECT_EQ(frame.id, id);
        }
    }
    EXPECT_EQ(link_->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(after(to_wire({.id = 7, .size = 1})), LinkResult::kOk);
}

TEST(CanHealth, AnInterfaceThatWentDownIsUselessUntilItTakesAFrameAgain) {
    CanHealth health;
    health.take_errno(ENETDOWN);
    EXPECT_FALSE(health.health().usable);
    health.take_errno(ENETDOWN);
    EXPECT_EQ(health.health().downs, 1u);
    health.take_sent();
    EXPECT_TRUE(health.health().usable);
    health.take_errno(ENOBUFS);  // a full queue
    EXPECT_TRUE(health.health().usable);
    health.take_errno(ENODEV);
    EXPECT_FALSE(health.health().usable);
}

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

// Through the kernel, where there is a vcan interface.
class VirtualCan : public testing::Test {
  protected:
    void SetUp() override {
        made_ = run("ip link add dev " + name_ + " type vcan") && run("ip link set " + name_ + " up");
        auto opened = open_can(name_);
        if (!opened) GTEST_SKIP() << "this host gives no vcan interface: " << opened.error().message;
        link_ = std::move(*opened);
    }
    void TearDown() override {
        if (made_) run("ip link delete " + name_);
    }
    // A raw socket that may send error frames, which a virtual bus hands on.
    void inject(const can_frame& raw) {
        const FileDescriptor socket(::socket(PF_CAN, SOCK_RAW, CAN_RAW));
        ifreq request{};
        std::memcpy(request.ifr_name, name_.c_str(), name_.size());
        ASSERT_EQ(::ioctl(socket.get(), SIOCGIFINDEX, &request), 0);
        sockaddr_can address{};
        address.can_family = AF_CAN;
        address.can_ifindex = request.ifr_ifindex;
        ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ASSERT_EQ(::send(socket.get(), &raw, sizeof raw, 0), static_cast<ssize_t>(sizeof raw));
    }

    std::string name_ = "hfcan" + std::to_string(::getpid() % 10000);
    bool made_{false};
    std::unique_ptr<Link> link_;
};

TEST_F(VirtualCan, ErrorFramesArrive) {
    CanFrame frame;
    inject(error_frame(CAN_ERR_BUSOFF));
    EXPECT_EQ(link_->receive(frame), LinkResult::kError);
    EXPECT_FALSE(link_->health().usable);
    inject(to_wire({.id = 0x21, .size = 8}));
    EXPECT_EQ(link_->receive(frame), LinkResult::kOk);
    EXPECT_TRUE(link_->health().usable);
}

TEST_F(VirtualCan, HearsOnlyWhatItListensToAndErrors) {
    ASSERT_TRUE(link_->listen(std::array<std::uint32_t, 2>{0x21, 0x29}));
    inject(to_wire({.id = 0x2C, .size = 8}));
    inject(to_wire({.id = 0x29, .size = 8}));
    inject(error_frame(CAN_ERR_ACK));
    CanFrame frame;
    EXPECT_EQ(link_->receive(frame), LinkResult::kOk);
    EXPECT_EQ(frame.id, 0x29u);
    EXPECT_EQ(link_->receive(frame), LinkResult::kError);
    EXPECT_EQ(link_->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(link_->health().ack_errors, 1u);
}

TEST_F(VirtualCan, TheSocketSurvivesItsInterfaceGoingDownAndUp) {
    CanFrame frame;
    ASSERT_TRUE(run("ip link set " + name_ + " down"));
    EXPECT_EQ(link_->receive(frame), LinkResult::kError);
    EXPECT_EQ(link_->send({.id = 1, .size = 1}), LinkResult::kError);
    EXPECT_FALSE(link_->health().usable);
    ASSERT_TRUE(run("ip link set " + name_ + " up"));
    EXPECT_EQ(link_->send({.id = 1, .size = 1}), LinkResult::kOk);
    EXPECT_TRUE(link_->health().usable);
    inject(to_wire({.id = 0x21, .size = 8}));
    EXPECT_EQ(link_->receive(frame), LinkResult::kOk);
    EXPECT_EQ(link_->health().downs, 1u);
}

}  // namespace
}  // namespace holdfast::link
