// One suite for every kind of link: a client (the core's or the safety daemon's end) and the drives' end of
// it.
#include "link/link.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/can.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "ipc/file_descriptor.hpp"
#include "link/wire.hpp"
#include "temporary_directory.hpp"

namespace holdfast {
namespace {

namespace fs = std::filesystem;

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

std::string vcan_name() { return "hftest" + std::to_string(::getpid() % 10000); }

bool add_vcan() {
    return run("ip link add dev " + vcan_name() + " type vcan") &&
           run("ip link set " + vcan_name() + " up") &&
           open_link("can:" + vcan_name(), "probe", ".").has_value();
}

void remove_vcan() { run("ip link delete " + vcan_name()); }

std::vector<std::string> find_links() {
    std::vector<std::string> schemes{"unix", "serial"};
    if (add_vcan()) {
        schemes.emplace_back("can");
    } else {
        std::fputs("note: this host gives no vcan interface; the suite runs for unix: and serial:\n", stderr);
    }
    remove_vcan();
    return schemes;
}

const std::vector<std::string>& available_links() {
    static const std::vector<std::string> schemes = find_links();
    return schemes;
}

CanFrame numbered(std::uint32_t id, std::uint8_t size) {
    CanFrame frame{.id = id, .size = size};
    for (std::uint8_t i = 0; i < size; ++i) frame.data[i] = static_cast<std::uint8_t>(0x10 * size + i);
    return frame;
}

// Waits until the link has something to say. What it has read already is not at its descriptor any more.
LinkResult receive_within(Link& link, CanFrame& frame,
                          std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
    const LinkResult at_once = link.receive(frame);
    if (at_once != LinkResult::kEmpty) return at_once;
    pollfd waiting{.fd = link.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(deadline.count())) <= 0) return LinkResult::kEmpty;
    return link.receive(frame);
}

void expect_arrives(Link& from, Link& to, const CanFrame& sent) {
    ASSERT_EQ(from.send(sent), LinkResult::kOk);
    CanFrame received;
    ASSERT_EQ(receive_within(to, received), LinkResult::kOk);
    EXPECT_EQ(received.id, sent.id);
    EXPECT_EQ(received.size, sent.size);
    EXPECT_EQ(received.data, sent.data);
}

class LinkConformance : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        if (GetParam() == "can") {
            ASSERT_TRUE(add_vcan());
            url_ = "can:" + vcan_name();
        } else {
            url_ = GetParam() == "unix" ? "unix:plant.sock" : "serial:plant.tty?baud=921600";
        }
        auto drives = open_drive_side(url_, directory_.path());
        ASSERT_TRUE(drives) << drives.error().message;
        drives_ = std::move(*drives);
        core_ = open("core");
    }

    void TearDown() override {
        if (GetParam() == "can") remove_vcan();
    }

    std::unique_ptr<Link> open(const char* name) {
        auto opened = open_link(url_, name, directory_.path());
        EXPECT_TRUE(opened) << opened.error().message;
        return opened ? std::move(*opened) : nullptr;
    }

    // The drives' end learns of its clients when it reads.
    void let_drives_listen() {
        CanFrame frame;
        EXPECT_EQ(drives_->receive(frame), LinkResult::kEmpty);
    }

    TemporaryDirectory directory_;
    std::string url_;
    std::unique_ptr<Link> drives_;
    std::unique_ptr<Link> core_;
};

TEST_P(LinkConformance, EmptyAtFirstAndNeverBlocks) {
    CanFrame frame;
    EXPECT_EQ(core_->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(drives_->receive(frame), LinkResult::kEmpty);
    EXPECT_NE(::fcntl(core_->fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_P(LinkConformance, CarriesEverySizeBothWays) {
    let_drives_listen();
    for (std::uint8_t size = 0; size <= 8; ++size) {
        expect_arrives(*core_, *drives_, numbered(0x6C, size));
        expect_arrives(*drives_, *core_, numbered(0x69, size));
    }
}

TEST_P(LinkConformance, KeepsTheOrder) {
    for (std::uint32_t id = 1; id <= 6; ++id) ASSERT_EQ(core_->send(numbered(id, 1)), LinkResult::kOk);
    for (std::uint32_t id = 1; id <= 6; ++id) {
        CanFrame frame;
        ASSERT_EQ(receive_within(*drives_, frame), LinkResult::kOk);
        EXPECT_EQ(frame.id, id);
    }
}

TEST_P(LinkConformance, DoesNotHearItself) {
    expect_arrives(*core_, *drives_, numbered(0x2C, 8));
    CanFrame frame;
    EXPECT_EQ(core_->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(drives_->send(numbered(0x29, 8)), LinkResult::kOk);
    EXPECT_EQ(drives_->receive(frame), LinkResult::kEmpty);
}

// On a serial line the core alone: each byte has one reader.
TEST_P(LinkConformance, EveryClientHearsTheDrives) {
    const auto safety = open("safety");
    ASSERT_TRUE(safety);
    let_drives_listen();
    ASSERT_EQ(drives_->send(numbered(0x29, 8)), LinkResult::kOk);
    std::vector<Link*> hearing{core_.get()};
    CanFrame none;
    if (GetParam() == "serial") {
        EXPECT_EQ(safety->receive(none), LinkResult::kEmpty);
    } else {
        hearing.push_back(safety.get());
    }
    for (Link* client : hearing) {
        CanFrame frame;
        ASSERT_EQ(receive_within(*client, frame), LinkResult::kOk);
        EXPECT_EQ(frame.id, 0x29u);
    }
}

TEST_P(LinkConformance, EveryClientCanCommandTheDrives) {
    const auto safety = open("safety");
    ASSERT_TRUE(safety);
    expect_arrives(*core_, *drives_, numbered(0x2C, 8));
    expect_arrives(*safety, *drives_, numbered(0x2D, 8));
}

TEST_P(LinkConformance, CarriesEveryIdentifierAndEveryByte) {
    let_drives_listen();
    for (std::uint32_t id = 0; id < kMaxCanId; id += 31) {
        CanFrame frame{.id = id, .size = 8};
        frame.data.fill(static_cast<std::uint8_t>(id % 3 == 0 ? 0 : id));
        expect_arrives(*core_, *drives_, frame);
    }
}

TEST_P(LinkConformance, IsHealthyWhileItWorks) {
    let_drives_listen();
    expect_arrives(*core_, *drives_, numbered(0x2C, 8));
    expect_arrives(*drives_, *core_, numbered(0x29, 8));
    for (const Link* link : {core_.get(), drives_.get()}) {
        EXPECT_TRUE(link->health().usable);
        EXPECT_EQ(link->health().downs, 0u);
        EXPECT_EQ(link->health().damaged, 0u);
    }
}

TEST_P(LinkConformance, ClientsThatComeAndGoDisturbNobody) {
    for (int i = 0; i < 100; ++i) {
        const auto safety = open("safety");
        ASSERT_TRUE(safety);
        let_drives_listen();
    }
    expect_arrives(*drives_, *core_, numbered(0x29, 8));
}

INSTANTIATE_TEST_SUITE_P(EveryLink, LinkConformance, testing::ValuesIn(available_links()),
                         [](const auto& tested) { return tested.param; });

TEST(Wire, RefusesWhatIsNoStandardDataFrame) {
    const can_frame good = link::to_wire(numbered(0x7FE, 8));
    ASSERT_TRUE(link::from_wire(good, sizeof good));
    EXPECT_FALSE(link::from_wire(good, sizeof good - 1));
    EXPECT_FALSE(link::from_wire(good, sizeof good + 1));
    EXPECT_FALSE(link::from_wire(good, 0));
    for (const canid_t flag : {CAN_ERR_FLAG, CAN_RTR_FLAG, CAN_EFF_FLAG, canid_t{0x800}}) {
        can_frame bad = good;
        bad.can_id |= flag;
        EXPECT_FALSE(link::from_wire(bad, sizeof bad)) << std::hex << flag;
    }
    can_frame too_long = good;
    too_long.can_dlc = 9;
    EXPECT_FALSE(link::from_wire(too_long, sizeof too_long));
}

TEST(Wire, NeverReadsBeyondTheData) {
    CanFrame frame = numbered(0x1, 8);
    frame.size = 200;
    EXPECT_EQ(link::to_wire(frame).can_dlc, 8);
}

class UnixLink : public testing::Test {
  protected:
    std::unique_ptr<Link> hub() { return std::move(open_drive_side("unix:plant.sock", run_.path()).value()); }
    Expected<std::unique_ptr<Link>> client(const char* name = "core") {
        return open_link("unix:plant.sock", name, run_.path());
    }
    TemporaryDirectory run_;
};

TEST_F(UnixLink, HubNamesTheSender) {
    const auto drives = hub();
    const auto core = std::move(client("core").value());
    const auto safety = std::move(client("safety").value());
    CanFrame frame;
    ASSERT_EQ(core->send(numbered(1, 1)), LinkResult::kOk);
    ASSERT_EQ(receive_within(*drives, frame), LinkResult::kOk);
    EXPECT_EQ(drives->sender(), "core");
    ASSERT_EQ(safety->send(numbered(1, 1)), LinkResult::kOk);
    ASSERT_EQ(receive_within(*drives, frame), LinkResult::kOk);
    EXPECT_EQ(drives->sender(), "safety");
    EXPECT_EQ(core->sender(), "");
}

TEST_F(UnixLink, SocketsOfOneNameGetNumbersAndLeaveNoFiles) {
    const auto drives = hub();
    {
        const auto first = client();
        const auto second = client();
        ASSERT_TRUE(first && second);
        EXPECT_TRUE(fs::exists(run_.path() / "link-core-0.sock"));
        EXPECT_TRUE(fs::exists(run_.path() / "link-core-1.sock"));
    }
    EXPECT_FALSE(fs::exists(run_.path() / "link-core-0.sock"));
    EXPECT_FALSE(fs::exists(run_.path() / "link-core-1.sock"));
}

TEST_F(UnixLink, TakesOverTheSocketFileOfADeadProcess) {
    const auto drives = hub();
    {
        const FileDescriptor dead(::socket(AF_UNIX, SOCK_DGRAM, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, (run_.path() / "link-core-0.sock").c_str());
        ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    const auto core = client();
    ASSERT_TRUE(core);
    EXPECT_FALSE(fs::exists(run_.path() / "link-core-1.sock"));
}

TEST_F(UnixLink, MalformedDatagramIsAnError) {
    const auto drives = hub();
    const FileDescriptor stranger(::socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (run_.path() / "plant.sock").c_str());
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{17}, std::size_t{4096}}) {
        const std::vector<char> noise(bytes, '\0');
        ASSERT_EQ(::sendto(stranger.get(), noise.data(), bytes, 0, reinterpret_cast<sockaddr*>(&address),
                           sizeof address),
                  static_cast<ssize_t>(bytes));
        CanFrame frame;
        EXPECT_EQ(drives->receive(frame), LinkResult::kError) << bytes;
    }
    EXPECT_EQ(drives->send(numbered(1, 1)), LinkResult::kOk);
}

TEST_F(UnixLink, FullQueueIsAnErrorAndNotAWait) {
    const auto drives = hub();
    const auto core = std::move(client().value());
    LinkResult result = LinkResult::kOk;
    for (int i = 0; i < 100'000 && result == LinkResult::kOk; ++i) result = core->send(numbered(1, 8));
    EXPECT_EQ(result, LinkResult::kError);
}

// Fills the hub's queue, which is ten datagrams long.
void fill_queue(Link& sender) {
    while (sender.send(numbered(1, 8)) == LinkResult::kOk) {
    }
}

TEST_F(UnixLink, ANewClientWaitsForAHubThatIsBehind) {
    const auto drives = hub();
    const auto core = std::move(client().value());
    fill_queue(*core);
    auto opening = std::async(std::launch::async, [this] { return client(); });
    const auto done = [&] {
        return opening.wait_for(std::chrono::milliseconds(1)) == std::future_status::ready;
    };
    while (!done() && !fs::exists(run_.path() / "link-core-1.sock")) {
    }
    CanFrame frame;
    while (!done() && drives->receive(frame) != LinkResult::kError) {
    }
    const auto late = opening.get();
    ASSERT_TRUE(late) << late.error().message;
}

TEST_F(UnixLink, AHubThatReadsNothingIsNamed) {
    const auto drives = hub();
    const auto core = std::move(client().value());
    fill_queue(*core);
    const auto late = client();
    ASSERT_FALSE(late);
    EXPECT_NE(late.error().message.find("reads nothing"), std::string::npos) << late.error().message;
    EXPECT_FALSE(fs::exists(run_.path() / "link-core-1.sock"));
}

TEST_F(UnixLink, ClientFindsARestartedHub) {
    auto drives = hub();
    const auto core = std::move(client().value());
    CanFrame frame;
    ASSERT_EQ(drives->receive(frame), LinkResult::kEmpty);
    drives.reset();
    EXPECT_EQ(core->send(numbered(1, 1)), LinkResult::kError);
    drives = hub();
    for (int cycle = 0; cycle < 1000; ++cycle) ASSERT_EQ(core->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(drives->receive(frame), LinkResult::kEmpty);  // reads the hello
    expect_arrives(*drives, *core, numbered(0x29, 8));
    expect_arrives(*core, *drives, numbered(0x2C, 8));
}

void expect_refused(const Expected<std::unique_ptr<Link>>& opened, const std::string& part) {
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().message.find(part), std::string::npos) << opened.error().message;
}

TEST_F(UnixLink, WithoutAHubSaysWhatToStart) {
    expect_refused(client(), "start holdfast-plant");
    EXPECT_TRUE(fs::is_empty(run_.path()));
}

TEST_F(UnixLink, SecondHubIsRefused) {
    const auto drives = hub();
    expect_refused(open_drive_side("unix:plant.sock", run_.path()), "another process serves it");
}

TEST_F(UnixLink, MissingDirectoryIsNamed) {
    const auto drives = hub();
    const std::string url = "unix:" + (run_.path() / "plant.sock").string();
    expect_refused(open_link(url, "core", run_.path() / "missing"), "run directory");
    expect_refused(open_drive_side("unix:missing/plant.sock", run_.path()), "directory");
}

TEST_F(UnixLink, TooLongPathIsNamed) {
    expect_refused(open_link("unix:" + std::string(200, 'x'), "core", run_.path()), "longer than 107 bytes");
}

TEST(LinkUrl, RefusesWhatItDoesNotKnow) {
    for (const char* url : {"", "can", "can:", "unix:", "tcp:host", ":x"}) {
        expect_refused(open_link(url, "core", "/tmp"), "write \"can:NAME\"");
        expect_refused(open_drive_side(url, "/tmp"), "write \"can:NAME\"");
    }
}

TEST(CanLink, MissingInterfaceTellsHowToMakeOne) {
    const auto opened = open_link("can:hfnone0", "core", "/tmp");
    ASSERT_FALSE(opened);
    const bool kernel_has_can = opened.error().message.find("no CAN socket") == std::string::npos;
    expect_refused(opened, kernel_has_can ? "ip link add dev hfnone0 type vcan" : "modprobe");
}

TEST(CanLink, NameThatNoInterfaceCanHaveIsRefused) {
    expect_refused(open_link("can:a-name-that-is-too-long", "core", "/tmp"),
                   "no name of a network interface");
}

}  // namespace
}  // namespace holdfast
