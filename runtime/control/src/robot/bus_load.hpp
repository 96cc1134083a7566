// What the frames of a robot need of each link, before the first one is sent.
//
// A CAN frame counts with the most stuff bits that its length allows (Davis, Burns, Bril, Lukkien:
// "Controller Area Network (CAN) schedulability analysis", 2007) and with the three bits of the gap behind
// it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "robot/config.hpp"

namespace holdfast {

inline constexpr double kBusLoadWarning = 0.8;  // share of the bit rate above which a bus has no reserve
inline constexpr double kBusLoadMax = 1.0;

// Bits on the wire of one CAN 2.0 data frame with an 11-bit identifier and `size` bytes, 0 to 8.
[[nodiscard]] constexpr unsigned can_frame_bits(std::size_t size) {
    const auto data_bits = static_cast<unsigned>(8 * size);
    return data_bits + 47 + (34 + data_bits - 1) / 4;
}
// Bits on the wire of the same frame on a serial: link: COBS byte, identifier, CRC and delimiter, ten bits a
// byte.
[[nodiscard]] constexpr unsigned serial_frame_bits(std::size_t size) {
    return static_cast<unsigned>(10 * (size + 6));
}

struct LinkLoad {
    std::string url;
    double frames_per_s{};
    double bits_per_s{};  // serial: the busier direction
    double bitrate{};     // 0: no limit
    [[nodiscard]] double share() const { return bitrate > 0.0 ? bits_per_s / bitrate : 0.0; }
};

// One entry a link, in the order in which drives and sensors first name them.
[[nodiscard]] std::vector<LinkLoad> bus_loads(const RobotConfig& config);
// "can:can0: 3010 frames/s, 40.6 % of 1000000 bit/s"
[[nodiscard]] std::string text_of(const LinkLoad& load);

}  // namespace holdfast
