#include "link/can_link.hpp"

#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "link/can_health.hpp"
#include "link/wire.hpp"

namespace holdfast::link {
namespace {

class CanLink final : public Link {
  public:
    explicit CanLink(FileDescriptor socket) : socket_(std::move(socket)) {}

    LinkResult send(const CanFrame& frame) override {
        const can_frame raw = to_wire(frame);
        const auto sent = ::send(socket_.get(), &raw, sizeof raw, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == static_cast<ssize_t>(sizeof raw)) {
            health_.take_sent();
            return LinkResult::kOk;
        }
        if (sent < 0) health_.take_errno(errno);
        return LinkResult::kError;
    }

    LinkResult receive(CanFrame& frame) override {
        if (next_ == taken_) {
            const int taken = take_batch();
            if (taken < 0) return refused(errno);
        }
        const can_frame& raw = frames_[next_];
        const std::size_t size = headers_[next_].msg_len;
        ++next_;
        if (is_error_frame(raw, size)) {
            health_.take_error_frame(raw);
            return LinkResult::kError;
        }
        const auto decoded = from_wire(raw, size);
        if (!decoded) return LinkResult::kError;
        health_.take_data_frame();
        frame = *decoded;
        return LinkResult::kOk;
    }

    // Exact filters: the kernel finds them by their identifier, however many there are.
    Expected<void> listen(std::span<const std::uint32_t> ids) override {
        std::vector<can_filter> filters;
        for (const std::uint32_t id : ids)
            filters.push_back({.can_id = id, .can_mask = CAN_SFF_MASK | CAN_EFF_FLAG | CAN_RTR_FLAG});
        const auto size = static_cast<socklen_t>(filters.size() * sizeof(can_filter));
        if (::setsockopt(socket_.get(), SOL_CAN_RAW, CAN_RAW_FILTER, filters.data(), size) == 0) return {};
        return fail(std::string("CAN_RAW_FILTER: ") + std::strerror(errno));
    }

    const LinkHealth& health() const override { return health_.health(); }
    int fd() const override { return socket_.get(); }

  private:
    static constexpr std::size_t kBatch = 32;

    // One system call for all that waits. Negative: errno says why there is nothing.
    int take_batch() {
        for (std::size_t i = 0; i < kBatch; ++i) {
            buffers_[i] = {.iov_base = &frames_[i], .iov_len = sizeof frames_[i]};
            headers_[i] = {};
            headers_[i].msg_hdr.msg_iov = &buffers_[i];
            headers_[i].msg_hdr.msg_iovlen = 1;
        }
        next_ = taken_ = 0;
        const int taken =
            ::recvmmsg(socket_.get(), headers_.data(), kBatch, MSG_DONTWAIT | MSG_TRUNC, nullptr);
        if (taken > 0) taken_ = static_cast<std::size_t>(taken);
        return taken;
    }

    LinkResult refused(int error) {
        if (error == EAGAIN || error == EINTR) return LinkResult::kEmpty;
        health_.take_errno(error);
        return LinkResult::kError;
    }
    static bool is_error_frame(const can_frame& raw, std::size_t received) {
        return received == sizeof raw && (raw.can_id & CAN_ERR_FLAG) != 0;
    }

    FileDescriptor socket_;
    CanHealth health_;
    std::array<can_frame, kBatch> frames_{};
    std::array<iovec, kBatch> buffers_{};
    std::array<mmsghdr, kBatch> headers_{};
    std::size_t next_{0};
    std::size_t taken_{0};
};

std::string system_error(const std::string& what) { return what + ": " + std::strerror(errno); }

template <typename Value>
bool set_option(int fd, int option, const Value& value) {
    return ::setsockopt(fd, SOL_CAN_RAW, option, &value, sizeof value) == 0;
}

// Standard data frames only; every error frame; never our own.
bool configure(int fd) {
    const can_filter data_frames{.can_id = 0, .can_mask = CAN_EFF_FLAG | CAN_RTR_FLAG};
    const can_err_mask_t errors = CAN_ERR_MASK;
    const int own_messages = 0;
    return set_option(fd, CAN_RAW_FILTER, data_frames) && set_option(fd, CAN_RAW_ERR_FILTER, errors) &&
           set_option(fd, CAN_RAW_RECV_OWN_MSGS, own_messages);
}

}  // namespace

Expected<std::unique_ptr<Link>> open_can(const std::string& interface) {
    const std::string url = "can:" + interface;
    ifreq request{};
    if (interface.empty() || interface.size() >= sizeof request.ifr_name) {
        return fail("link \"" + url + "\": \"" + interface +
                    "\" is no name of a network interface (1 to 15 characters)");
    }
    FileDescriptor socket(::socket(PF_CAN, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CAN_RAW));
    if (!socket) {
        return fail(system_error("link \"" + url + "\": this kernel gives no CAN socket") +
                    "; load its modules (modprobe can_raw vcan) or use a unix: link");
    }
    std::memcpy(request.ifr_name, interface.c_str(), interface.size());
    if (::ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) {
        return fail("link \"" + url + "\": there is no interface " + interface +
                    "; for a simulated bus: ip link add dev " + interface + " type vcan && ip link set " +
                    interface + " up");
    }
    const int index = request.ifr_ifindex;
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
        return fail(system_error("link \"" + url + "\": cannot read the interface's flags"));
    }
    if ((request.ifr_flags & IFF_UP) == 0) {
        return fail("link \"" + url + "\": the interface is down; bring it up: ip link set " + interface +
                    " up");
    }
    if (!configure(socket.get()))
        return fail(system_error("link \"" + url + "\": cannot set the socket's filters"));
    sockaddr_can address{};
    address.can_family = AF_CAN;
    address.can_ifindex = index;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return fail(system_error("link \"" + url + "\": cannot bind; is " + interface + " a CAN interface?"));
    }
    return make_can_link(std::move(socket));
}

std::unique_ptr<Link> make_can_link(FileDescriptor socket) {
    return std::make_unique<CanLink>(std::move(socket));
}

}  // namespace holdfast::link
