// A link carries CAN 2.0 frames: `can:NAME` over SocketCAN, `unix:PATH` over datagrams with the same 16 bytes
// (struct can_frame of linux/can.h, host byte order). send() and receive() never block or allocate: Tier-1 calls them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "error.hpp"

namespace holdfast {

struct CanFrame {
    std::uint32_t id{};  // 11 bits
    std::uint8_t size{};
    std::array<std::uint8_t, 8> data{};
};

enum class LinkResult : std::uint8_t { kOk, kEmpty, kError };

class Link {
  public:
    virtual ~Link() = default;
    [[nodiscard]] virtual LinkResult send(const CanFrame& frame) = 0;
    [[nodiscard]] virtual LinkResult receive(CanFrame& frame) = 0;
    [[nodiscard]] virtual int fd() const = 0;
};

// `local_name` tells the peers of a `unix:` link apart: "core", "safety". Relative paths are below `run_directory`.
[[nodiscard]] Expected<std::unique_ptr<Link>> open_link(std::string_view url, std::string_view local_name,
                                                        const std::filesystem::path& run_directory);

}  // namespace holdfast
