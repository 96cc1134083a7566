#include "link/serial_framing.hpp"

#include <algorithm>

namespace holdfast::link {
namespace {

constexpr std::uint16_t kPolynomial = 0xA6BC;  // 0x3D65 reflected
constexpr std::size_t kIdSize = 2;
constexpr std::size_t kCrcSize = 2;
constexpr std::size_t kMaxPlain = kIdSize + 8 + kCrcSize;

constexpr std::array<std::uint16_t, 256> crc_table() {
    std::array<std::uint16_t, 256> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
        auto value = static_cast<std::uint16_t>(i);
        for (int bit = 0; bit < 8; ++bit) {
            value = static_cast<std::uint16_t>((value & 1) != 0 ? value >> 1 ^ kPolynomial : value >> 1);
        }
        table[i] = value;
    }
    return table;
}
constexpr auto kCrcTable = crc_table();

struct Plain {
    std::array<std::uint8_t, kMaxPlain> bytes{};
    std::size_t size{};
};

std::uint16_t word_at(const Plain& plain, std::size_t offset) {
    return static_cast<std::uint16_t>(plain.bytes[offset] | plain.bytes[offset + 1] << 8);
}

void add_word(Plain& plain, std::uint16_t word) {
    plain.bytes[plain.size++] = static_cast<std::uint8_t>(word & 0xFF);
    plain.bytes[plain.size++] = static_cast<std::uint8_t>(word >> 8);
}

// Empty: a code byte points beyond the end, or the result is longer than any frame.
std::optional<Plain> unstuff(std::span<const std::uint8_t> stuffed) {
    Plain plain;
    std::size_t at = 0;
    while (at < stuffed.size()) {
        const std::size_t code = stuffed[at++];
        const std::size_t length = code - 1;
        if (at + length > stuffed.size() || plain.size + length > kMaxPlain) return std::nullopt;
        for (std::size_t i = 0; i < length; ++i) plain.bytes[plain.size++] = stuffed[at++];
        if (at == stuffed.size()) break;
        if (plain.size == kMaxPlain) return std::nullopt;
        plain.bytes[plain.size++] = 0;
    }
    return plain;
}

}  // namespace

std::uint16_t crc16_dnp(std::span<const std::uint8_t> bytes) {
    std::uint16_t crc = 0;
    for (const std::uint8_t byte : bytes) {
        crc = static_cast<std::uint16_t>(crc >> 8 ^ kCrcTable[(crc ^ byte) & 0xFF]);
    }
    return static_cast<std::uint16_t>(~crc);
}

SerialFrame to_serial(const CanFrame& frame) {
    Plain plain;
    add_word(plain, static_cast<std::uint16_t>(frame.id & kMaxCanId));
    const std::size_t data = std::min<std::size_t>(frame.size, frame.data.size());
    for (std::size_t i = 0; i < data; ++i) plain.bytes[plain.size++] = frame.data[i];
    add_word(plain, crc16_dnp({plain.bytes.data(), plain.size}));

    SerialFrame stuffed;
    std::size_t code_at = stuffed.size++;
    const auto close = [&](std::size_t next) {
        stuffed.bytes[code_at] = static_cast<std::uint8_t>(next - code_at);
    };
    for (std::size_t i = 0; i < plain.size; ++i) {
        if (plain.bytes[i] != 0) {
            stuffed.bytes[stuffed.size++] = plain.bytes[i];
            continue;
        }
        close(stuffed.size);
        code_at = stuffed.size++;
    }
    close(stuffed.size);
    stuffed.bytes[stuffed.size++] = 0;
    return stuffed;
}

SerialDecoder::Result SerialDecoder::take(std::uint8_t byte, CanFrame& frame) {
    if (byte != 0) {
        too_long_ = too_long_ || size_ == waiting_.size();
        if (!too_long_) waiting_[size_++] = byte;
        return Result::kMore;
    }
    if (size_ == 0 && !too_long_) return Result::kMore;  // zeros between frames mean nothing
    const auto decoded = too_long_ ? std::nullopt : decode();
    size_ = 0;
    too_long_ = false;
    if (!decoded) return Result::kDamaged;
    frame = *decoded;
    return Result::kFrame;
}

std::optional<CanFrame> SerialDecoder::decode() const {
    const auto plain = unstuff({waiting_.data(), size_});
    if (!plain || plain->size < kIdSize + kCrcSize) return std::nullopt;
    const std::size_t body = plain->size - kCrcSize;
    if (word_at(*plain, body) != crc16_dnp({plain->bytes.data(), body})) return std::nullopt;
    CanFrame frame{.id = word_at(*plain, 0), .size = static_cast<std::uint8_t>(body - kIdSize)};
    if (frame.id > kMaxCanId) return std::nullopt;
    std::copy_n(plain->bytes.begin() + kIdSize, frame.size, frame.data.begin());
    return frame;
}

}  // namespace holdfast::link
