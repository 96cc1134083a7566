// CAN frames on a serial line.
//
// One frame is COBS(identifier, data, CRC) and a zero byte. COBS (Cheshire, Baker 1999) leaves no zero
// inside, so a reader that lost its place finds the next frame behind the next zero. Little-endian:
// identifier 2 bytes (the five high bits are 0), data 0 to 8 bytes, CRC 2 bytes over both: 7 to 15 bytes on
// the wire.
//
// CRC-16/DNP (polynomial 0x3D65, reflected, start 0, inverted): of all 16-bit CRCs it finds every pattern of
// up to five wrong bits in messages of up to 135 bits (Koopman, "Best CRCs": 0x9EB2, HD 6); the longest here
// has 80. The usual CRC-16/CCITT finds three.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "link/link.hpp"

namespace holdfast::link {

inline constexpr std::size_t kMaxSerialFrame = 15;

[[nodiscard]] std::uint16_t crc16_dnp(std::span<const std::uint8_t> bytes);

struct SerialFrame {
    std::array<std::uint8_t, kMaxSerialFrame> bytes{};
    std::size_t size{};
};
[[nodiscard]] SerialFrame to_serial(const CanFrame& frame);

// Takes the bytes of a line one by one and finds its place again after anything.
class SerialDecoder {
  public:
    enum class Result : std::uint8_t { kMore, kFrame, kDamaged };
    // kFrame: `frame` is set. kDamaged: what stood before this zero byte was no frame.
    [[nodiscard]] Result take(std::uint8_t byte, CanFrame& frame);

  private:
    [[nodiscard]] std::optional<CanFrame> decode() const;

    std::array<std::uint8_t, kMaxSerialFrame> waiting_{};
    std::size_t size_{0};
    bool too_long_{false};
};

}  // namespace holdfast::link
