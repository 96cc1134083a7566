#include "link/serial_link.hpp"

#include <fcntl.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ipc/file_descriptor.hpp"
#include "link/serial_framing.hpp"

namespace holdfast::link {
namespace {

constexpr std::size_t kReadSize = 512;
// A line that babbles cannot hold the loop: the rest waits for the next cycle.
constexpr int kMaxReadsAtOnce = 8;

std::optional<speed_t> speed_of(std::uint32_t baud) {
    constexpr std::array<std::pair<std::uint32_t, speed_t>, 12> kSpeeds{{{57'600, B57600},
                                                                         {115'200, B115200},
                                                                         {230'400, B230400},
                                                                         {460'800, B460800},
                                                                         {500'000, B500000},
                                                                         {921'600, B921600},
                                                                         {1'000'000, B1000000},
                                                                         {1'500'000, B1500000},
                                                                         {2'000'000, B2000000},
                                                                         {2'500'000, B2500000},
                                                                         {3'000'000, B3000000},
                                                                         {4'000'000, B4000000}}};
    for (const auto& [rate, speed] : kSpeeds) {
        if (rate == baud) return speed;
    }
    return std::nullopt;
}

// Eight bits, no parity, one stop bit, no flow control, nothing translated. With VMIN 1 an empty non-blocking
// read is EAGAIN and a read of nothing means that the line is gone.
bool make_raw(int fd, std::uint32_t baud) {
    termios settings{};
    const auto speed = speed_of(baud);
    if (!speed || ::tcgetattr(fd, &settings) != 0) return false;
    ::cfmakeraw(&settings);
    settings.c_cflag &= ~static_cast<tcflag_t>(CSTOPB | CRTSCTS | HUPCL);
    settings.c_cflag |= CLOCAL | CREAD;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    return ::cfsetspeed(&settings, *speed) == 0 && ::tcsetattr(fd, TCSANOW, &settings) == 0;
}

class SerialLink final : public Link {
  public:
    SerialLink(FileDescriptor line, SerialUse use) : line_(std::move(line)), use_(use) {}

    // A full line may take the first bytes of a frame: a zero ends that piece, or the next frame would be
    // lost with it.
    LinkResult send(const CanFrame& frame) override {
        const SerialFrame stuffed = to_serial(frame);
        std::array<std::uint8_t, kMaxSerialFrame + 1> bytes{};
        const std::size_t start = torn_ ? 1 : 0;
        std::copy_n(stuffed.bytes.begin(), stuffed.size, bytes.begin() + static_cast<std::ptrdiff_t>(start));
        const std::size_t size = start + stuffed.size;
        const auto written = ::write(line_.get(), bytes.data(), size);
        if (written < 0) {
            if (errno != EAGAIN && errno != EINTR) set_usable(false);
            return LinkResult::kError;
        }
        set_usable(true);
        const bool whole = static_cast<std::size_t>(written) == size;
        torn_ = !whole && (torn_ || written > 0);
        return !whole ? LinkResult::kError : LinkResult::kOk;
    }

    LinkResult receive(CanFrame& frame) override {
        if (use_ == SerialUse::kSendOnly) return LinkResult::kEmpty;
        for (int reads = 0; reads <= kMaxReadsAtOnce; ++reads) {
            while (next_ < filled_) {
                switch (decoder_.take(buffer_[next_++], frame)) {
                    case SerialDecoder::Result::kMore:
                        continue;
                    case SerialDecoder::Result::kFrame:
                        return LinkResult::kOk;
                    case SerialDecoder::Result::kDamaged:
                        ++health_.damaged;
                        return LinkResult::kError;
                }
            }
            if (const LinkResult result = refill(); result != LinkResult::kOk) return result;
        }
        return LinkResult::kEmpty;
    }

    int fd() const override { return line_.get(); }
    const LinkHealth& health() const override { return health_; }

  private:
    LinkResult refill() {
        const auto received = ::read(line_.get(), buffer_.data(), buffer_.size());
        if (received > 0) {
            next_ = 0;
            filled_ = static_cast<std::size_t>(received);
            set_usable(true);
            return LinkResult::kOk;
        }
        if (received < 0 && (errno == EAGAIN || errno == EINTR)) return LinkResult::kEmpty;
        set_usable(false);
        return LinkResult::kError;
    }

    void set_usable(bool usable) {
        if (health_.usable && !usable) ++health_.downs;
        health_.usable = usable;
    }

    FileDescriptor line_;
    SerialUse use_;
    SerialDecoder decoder_;
    std::array<std::uint8_t, kReadSize> buffer_{};
    std::size_t next_{0};
    std::size_t filled_{0};
    bool torn_{false};  // the line holds the beginning of a frame without its end
    LinkHealth health_;
};

// A pseudo-terminal whose other side has a name, for as long as this object lives.
class PseudoTerminal final : public Link {
  public:
    PseudoTerminal(FileDescriptor master, FileDescriptor slave, std::filesystem::path name)
        : slave_(std::move(slave)),
          name_(std::move(name)),
          line_(std::move(master), SerialUse::kSendAndReceive) {}
    PseudoTerminal(const PseudoTerminal&) = delete;
    PseudoTerminal& operator=(const PseudoTerminal&) = delete;
    ~PseudoTerminal() override { ::unlink(name_.c_str()); }

    LinkResult send(const CanFrame& frame) override { return line_.send(frame); }
    LinkResult receive(CanFrame& frame) override { return line_.receive(frame); }
    int fd() const override { return line_.fd(); }
    const LinkHealth& health() const override { return line_.health(); }

  private:
    FileDescriptor slave_;  // held open: the line does not hang up while nobody else has it open
    std::filesystem::path name_;
    SerialLink line_;
};

std::string url_of(const std::filesystem::path& device) {
    return "link \"serial:" + device.native() + "\": ";
}

Expected<std::unique_ptr<Link>> make_pseudo_terminal(const std::filesystem::path& name, std::uint32_t baud) {
    int master = -1;
    int slave = -1;
    std::array<char, 128> slave_name{};
    if (::openpty(&master, &slave, slave_name.data(), nullptr, nullptr) != 0) {
        return fail(url_of(name) + "this system gives no pseudo-terminal: " + std::strerror(errno) +
                    "; mount /dev/pts");
    }
    FileDescriptor own(master);
    FileDescriptor far(slave);
    for (const int fd : {master, slave}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
    if (!make_raw(slave, baud)) return fail(url_of(name) + "cannot set the line: " + std::strerror(errno));
    ::unlink(name.c_str());
    if (::symlink(slave_name.data(), name.c_str()) != 0) {
        return fail(url_of(name) + "cannot create that name: " + std::strerror(errno) +
                    "; is its directory there and writable?");
    }
    return std::make_unique<PseudoTerminal>(std::move(own), std::move(far), name);
}

// A name that an ended process left for its pseudo-terminal.
bool is_left_over(const std::filesystem::path& device) {
    std::error_code error;
    return std::filesystem::is_symlink(device, error) &&
           (!std::filesystem::exists(device, error) ||
            std::filesystem::read_symlink(device, error).native().starts_with("/dev/pts/"));
}

}  // namespace

Expected<std::unique_ptr<Link>> open_serial(const std::filesystem::path& device, std::uint32_t baud,
                                            SerialUse use) {
    const int access = use == SerialUse::kSendOnly ? O_WRONLY : O_RDWR;
    FileDescriptor line(::open(device.c_str(), access | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    if (!line) {
        return fail(url_of(device) + "cannot be opened: " + std::strerror(errno) +
                    "; is the adapter plugged in, and is this user in the group dialout?");
    }
    if (::isatty(line.get()) == 0)
        return fail(url_of(device) + "is no serial line; name a device such as /dev/ttyUSB0");
    if (!make_raw(line.get(), baud))
        return fail(url_of(device) + "cannot be set to " + std::to_string(baud) +
                    " baud: " + std::strerror(errno));
    // What waited there is older than this process.
    if (use == SerialUse::kSendAndReceive) ::tcflush(line.get(), TCIFLUSH);
    return std::make_unique<SerialLink>(std::move(line), use);
}

Expected<std::unique_ptr<Link>> open_serial_drive_side(const std::filesystem::path& device,
                                                       std::uint32_t baud) {
    std::error_code error;
    if (is_left_over(device) || !std::filesystem::exists(device, error))
        return make_pseudo_terminal(device, baud);
    return open_serial(device, baud, SerialUse::kSendAndReceive);
}

}  // namespace holdfast::link
