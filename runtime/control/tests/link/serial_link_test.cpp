// A serial link on a pseudo-terminal whose other end is the test's.
#include "link/serial_link.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <span>
#include <string>

#include "ipc/file_descriptor.hpp"
#include "link/serial_framing.hpp"
#include "temporary_directory.hpp"

namespace holdfast::link {
namespace {

constexpr std::uint32_t kBaud = 921'600;

class SerialLinkTest : public testing::Test {
  protected:
    void SetUp() override {
        int master = -1, slave = -1;
        std::array<char, 128> name{};
        ASSERT_EQ(::openpty(&master, &slave, name.data(), nullptr, nullptr), 0);
        far_ = FileDescriptor(master);
        ::close(slave);
        ::fcntl(master, F_SETFL, O_NONBLOCK);
        device_ = name.data();
        link_ = std::move(open_serial(device_, kBaud, SerialUse::kSendAndReceive).value());
    }
    void write(const std::uint8_t* bytes, std::size_t size) {
        ASSERT_EQ(::write(far_.get(), bytes, size), static_cast<ssize_t>(size));
    }
    void write(const SerialFrame& frame) { write(frame.bytes.data(), frame.size); }
    // The terminal hands bytes over in the kernel's own time.
    LinkResult receive_when_readable(CanFrame& frame) {
        pollfd waiting{.fd = link_->fd(), .events = POLLIN, .revents = 0};
        (void)::poll(&waiting, 1, 10'000);
        return link_->receive(frame);
    }
    // What the link has read already is not at its descriptor any more.
    LinkResult receive(CanFrame& frame) {
        const LinkResult at_once = link_->receive(frame);
        return at_once != LinkResult::kEmpty ? at_once : receive_when_readable(frame);
    }
    void wait_until_read() {
        CanFrame frame;
        EXPECT_EQ(receive_when_readable(frame), LinkResult::kEmpty);
    }
    // What comes out at the far end, until `done` says that it is enough.
    template <typename Done>
    void read_far_end(Done done) {
        std::array<std::uint8_t, 4096> buffer;
        for (;;) {
            pollfd waiting{.fd = far_.get(), .events = POLLIN, .revents = 0};
            ASSERT_GT(::poll(&waiting, 1, 10'000), 0) << "the line gives less than was sent";
            const auto count = ::read(far_.get(), buffer.data(), buffer.size());
            ASSERT_GT(count, 0);
            if (done(std::span(buffer.data(), static_cast<std::size_t>(count)))) return;
        }
    }

    FileDescriptor far_;
    std::string device_;
    std::unique_ptr<Link> link_;
};

const CanFrame kFrame{.id = 0x6C, .size = 8, .data = {1, 0, 0, 3, 0x0A, 0x0D, 0x11, 0x13}};

TEST_F(SerialLinkTest, LineIsRawAtItsRate) {
    termios settings{};
    ASSERT_EQ(::tcgetattr(link_->fd(), &settings), 0);
    EXPECT_EQ(::cfgetospeed(&settings), static_cast<speed_t>(B921600));
    EXPECT_EQ(settings.c_lflag & (ECHO | ICANON | ISIG), 0u);
    EXPECT_EQ(settings.c_iflag & (IXON | ICRNL), 0u);
    EXPECT_EQ(settings.c_oflag & OPOST, 0u);
}

TEST_F(SerialLinkTest, AFrameInPiecesIsOneFrame) {
    const SerialFrame stuffed = to_serial(kFrame);
    for (std::size_t i = 0; i + 1 < stuffed.size; ++i) {
        write(&stuffed.bytes[i], 1);
        wait_until_read();
    }
    write(&stuffed.bytes[stuffed.size - 1], 1);
    CanFrame frame;
    ASSERT_EQ(receive(frame), LinkResult::kOk);
    EXPECT_EQ(frame.id, kFrame.id);
    EXPECT_EQ(frame.data, kFrame.data);
}

TEST_F(SerialLinkTest, SeveralFramesInOneReadComeOneByOne) {
    for (int i = 0; i < 20; ++i) write(to_serial({.id = static_cast<std::uint32_t>(i), .size = 8}));
    for (std::uint32_t i = 0; i < 20; ++i) {
        CanFrame frame;
        ASSERT_EQ(receive(frame), LinkResult::kOk);
        EXPECT_EQ(frame.id, i);
    }
    CanFrame frame;
    EXPECT_EQ(link_->receive(frame), LinkResult::kEmpty);
}

TEST_F(SerialLinkTest, DamageIsCountedAndTheNextFrameArrives) {
    SerialFrame damaged = to_serial(kFrame);
    damaged.bytes[3] = static_cast<std::uint8_t>(damaged.bytes[3] ^ 0x40);
    write(damaged);
    write(to_serial(kFrame));
    CanFrame frame;
    EXPECT_EQ(receive(frame), LinkResult::kError);
    EXPECT_EQ(link_->health().damaged, 1u);
    EXPECT_TRUE(link_->health().usable);
    EXPECT_EQ(receive(frame), LinkResult::kOk);
}

TEST_F(SerialLinkTest, AnUnpluggedLineIsSaidOnceAndNeverBlocks) {
    far_ = FileDescriptor();
    CanFrame frame;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(receive(frame), LinkResult::kError);
    EXPECT_EQ(link_->send(kFrame), LinkResult::kError);
    EXPECT_FALSE(link_->health().usable);
    EXPECT_EQ(link_->health().downs, 1u);
}

// A line that nobody reads fills up in the middle of a frame: that frame is lost, and only that one.
TEST_F(SerialLinkTest, AFullLineTearsOneFrameAndSaysSo) {
    int sent = 0;
    while (link_->send(kFrame) == LinkResult::kOk) ASSERT_LT(++sent, 1'000'000);
    SerialDecoder decoder;
    int heard = 0, damaged = 0;
    const auto heard_at_least = [&](int enough) {
        return [&, enough](std::span<const std::uint8_t> bytes) {
            for (const std::uint8_t byte : bytes) {
                CanFrame frame;
                const auto result = decoder.take(byte, frame);
                heard += result == SerialDecoder::Result::kFrame ? 1 : 0;
                damaged += result == SerialDecoder::Result::kDamaged ? 1 : 0;
            }
            return heard >= enough;
        };
    };
    read_far_end(heard_at_least(sent));
    ASSERT_EQ(link_->send(kFrame), LinkResult::kOk);
    read_far_end(heard_at_least(sent + 1));
    EXPECT_EQ(heard, sent + 1);
    EXPECT_LE(damaged, 1);
}

TEST_F(SerialLinkTest, TheSafetyDaemonsEndSendsAndTakesNothingFromTheCore) {
    const auto safety = std::move(open_serial(device_, kBaud, SerialUse::kSendOnly).value());
    write(to_serial(kFrame));
    CanFrame frame;
    EXPECT_EQ(safety->receive(frame), LinkResult::kEmpty);
    EXPECT_EQ(receive(frame), LinkResult::kOk);
    EXPECT_EQ(safety->send(kFrame), LinkResult::kOk);
    std::size_t taken = 0;
    read_far_end([&](std::span<const std::uint8_t> bytes) {
        taken += bytes.size();
        return taken >= to_serial(kFrame).size;
    });
    EXPECT_EQ(taken, to_serial(kFrame).size);
}

TEST(OpenSerial, SaysWhatIsWrong) {
    const TemporaryDirectory directory;
    const auto missing = open_serial(directory.path() / "none", kBaud, SerialUse::kSendAndReceive);
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find("is the adapter plugged in"), std::string::npos);
    const auto no_line = open_serial("/dev/null", kBaud, SerialUse::kSendAndReceive);
    ASSERT_FALSE(no_line);
    EXPECT_NE(no_line.error().message.find("is no serial line"), std::string::npos);
    EXPECT_FALSE(open_link("serial:/dev/ttyUSB0", "core", "/tmp"));
    EXPECT_FALSE(open_link("serial:/dev/ttyUSB0?baud=1234", "core", "/tmp"));
}

TEST(DriveSideOfSerial, NamesItsTerminalAndTakesTheNameOfADeadOne) {
    const TemporaryDirectory directory;
    const auto name = directory.path() / "plant.tty";
    {
        const auto first = open_serial_drive_side(name, kBaud);
        ASSERT_TRUE(first) << first.error().message;
        EXPECT_TRUE(std::filesystem::is_symlink(name));
    }
    EXPECT_FALSE(std::filesystem::is_symlink(name));
    std::filesystem::create_symlink("/dev/pts/no-such-terminal", name);
    EXPECT_TRUE(open_serial_drive_side(name, kBaud));
}

}  // namespace
}  // namespace holdfast::link
