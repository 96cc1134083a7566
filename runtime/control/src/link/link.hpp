// A link carries CAN 2.0 frames: `can:NAME` over SocketCAN, `serial:DEVICE?baud=RATE` in frames with a CRC
// (serial_framing.hpp), `unix:PATH` over datagrams with the same 16 bytes (struct can_frame of linux/can.h,
// host byte order). send() and receive() never block or allocate: Tier-1 calls them.
//
// A `unix:` link is a hub at PATH (the simulated drives) and its clients (core, safety). What the hub sends
// reaches every client that ever sent to it. A client announces itself with an empty frame (kHelloId) when it
// opens, and again now and then while it hears nothing, so that a restarted hub finds it.
//
// A `serial:` line gives each byte to one reader: only "core" hears it, every other process can only send.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "error.hpp"

namespace holdfast {

struct CanFrame {
    std::uint32_t id{};  // 11 bits
    std::uint8_t size{};
    std::array<std::uint8_t, 8> data{};
};

inline constexpr std::uint32_t kMaxCanId = 0x7FF;
inline constexpr std::uint32_t kHelloId = kMaxCanId;

enum class LinkResult : std::uint8_t { kOk, kEmpty, kError };

// What a link knows of its own state. Counts only grow.
struct LinkHealth {
    // False: bus-off, interface down or device gone. Nothing that is said of the link's drives is current.
    bool usable{true};
    bool error_passive{false};
    std::uint64_t bus_off{};           // times the controller left the bus
    std::uint64_t restarts{};          // times it came back
    std::uint64_t passive_episodes{};  // times it became error passive
    std::uint64_t ack_errors{};        // frames that nobody acknowledged
    std::uint64_t overflows{};         // frames lost in the controller
    std::uint64_t downs{};             // times the interface or device went away
    std::uint64_t damaged{};           // serial: frames that failed their CRC or had no valid form
};

class Link {
  public:
    virtual ~Link() = default;
    // kError: the frame did not leave (queue full, interface or peer gone).
    [[nodiscard]] virtual LinkResult send(const CanFrame& frame) = 0;
    // One waiting frame; never one that this link sent. kError: an error frame of the controller, a malformed
    // frame, or the interface is down; health() says which. A dead link may answer kError for ever: callers
    // bound how often they ask in a cycle.
    [[nodiscard]] virtual LinkResult receive(CanFrame& frame) = 0;
    // From now on only frames with these identifiers, and error frames: what others say to the drives costs
    // nothing then. A link that cannot choose hears everything. Not for real-time threads.
    [[nodiscard]] virtual Expected<void> listen(std::span<const std::uint32_t> /*ids*/) { return {}; }
    [[nodiscard]] virtual int fd() const = 0;
    [[nodiscard]] virtual const LinkHealth& health() const {
        static constexpr LinkHealth kNothingToSay;
        return kNothingToSay;
    }
    // Who sent what receive() last gave: the peer's local name on a hub, else empty.
    [[nodiscard]] virtual std::string_view sender() const { return {}; }
};

// `local_name` tells the peers of a `unix:` link apart: "core", "safety". Relative paths are below
// `run_directory`.
[[nodiscard]] Expected<std::unique_ptr<Link>> open_link(std::string_view url, std::string_view local_name,
                                                        const std::filesystem::path& run_directory);

// The drives' end of a link, for holdfast-plant: the hub of a `unix:` link, an ordinary socket on a `can:`
// one, and for `serial:` the device itself or, where there is none, a pseudo-terminal of that name.
[[nodiscard]] Expected<std::unique_ptr<Link>> open_drive_side(std::string_view url,
                                                              const std::filesystem::path& run_directory);

}  // namespace holdfast
