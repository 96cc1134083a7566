// The frames of a serial line: what is damaged is never taken for a frame, and the place is found again.
#include "link/serial_framing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string_view>
#include <vector>

namespace holdfast::link {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Result = SerialDecoder::Result;

CanFrame numbered(std::uint32_t id, std::uint8_t size, std::uint8_t fill = 0x11) {
    CanFrame frame{.id = id, .size = size};
    for (std::uint8_t i = 0; i < size; ++i) frame.data[i] = static_cast<std::uint8_t>(fill * i);
    return frame;
}

Bytes bytes_of(const CanFrame& frame) {
    const SerialFrame stuffed = to_serial(frame);
    return {stuffed.bytes.begin(), stuffed.bytes.begin() + static_cast<std::ptrdiff_t>(stuffed.size)};
}

struct Heard {
    std::vector<CanFrame> frames;
    int damaged{0};
};

void feed(SerialDecoder& decoder, const Bytes& bytes, Heard& heard) {
    for (const std::uint8_t byte : bytes) {
        CanFrame frame;
        switch (decoder.take(byte, frame)) {
            case Result::kMore:
                break;
            case Result::kFrame:
                heard.frames.push_back(frame);
                break;
            case Result::kDamaged:
                ++heard.damaged;
                break;
        }
    }
}

Heard hear(const Bytes& bytes) {
    SerialDecoder decoder;
    Heard heard;
    feed(decoder, bytes, heard);
    return heard;
}

bool equal(const CanFrame& a, const CanFrame& b) {
    return a.id == b.id && a.size == b.size && a.data == b.data;
}

Bytes joined(std::initializer_list<Bytes> parts) {
    Bytes all;
    for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

TEST(Crc16Dnp, HasTheCheckValueOfItsCatalogue) {
    constexpr std::string_view kText = "123456789";
    EXPECT_EQ(crc16_dnp({reinterpret_cast<const std::uint8_t*>(kText.data()), kText.size()}), 0xEA82);
}

// The reason for this polynomial: up to five wrong bits in the longest message are always found. A sum of bit
// patterns goes unseen if its remainders add up to nothing: no three may cancel, no four, no five.
TEST(Crc16Dnp, FindsEveryPatternOfUpToFiveWrongBits) {
    constexpr std::size_t kMessage = 10, kBits = 8 * (kMessage + 2);
    std::vector<std::uint16_t> remainders;
    const std::array<std::uint8_t, kMessage> none{};
    const std::uint16_t clean = crc16_dnp(none);
    for (std::size_t bit = 0; bit < 8 * kMessage; ++bit) {
        auto message = none;
        message[bit / 8] = static_cast<std::uint8_t>(1u << bit % 8);
        remainders.push_back(static_cast<std::uint16_t>(crc16_dnp(message) ^ clean));
    }
    for (std::size_t bit = 0; bit < 16; ++bit) remainders.push_back(static_cast<std::uint16_t>(1u << bit));
    ASSERT_EQ(remainders.size(), kBits);
    std::vector<int> pairs(65536), singles(65536);
    for (std::size_t a = 0; a < kBits; ++a) {
        EXPECT_NE(remainders[a], 0);
        ++singles[remainders[a]];
        for (std::size_t b = 0; b < a; ++b) ++pairs[remainders[a] ^ remainders[b]];
    }
    EXPECT_EQ(pairs[0], 0) << "two bits cancel";
    EXPECT_EQ(*std::max_element(singles.begin(), singles.end()), 1);
    EXPECT_EQ(*std::max_element(pairs.begin(), pairs.end()), 1) << "four bits cancel";
    for (std::size_t r = 0; r < 65536; ++r) EXPECT_FALSE(singles[r] && pairs[r]) << "three bits cancel";
    for (std::size_t a = 0; a < kBits; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
            for (std::size_t c = 0; c < b; ++c) {
                ASSERT_EQ(pairs[remainders[a] ^ remainders[b] ^ remainders[c]], 0) << "five bits cancel";
            }
        }
    }
}

TEST(SerialFraming, FrameOnTheWire) {
    // 3 bytes of COBS before the zero of the identifier's high byte, and so on: CRC 0x.... over 6C 00 01 02
    const CanFrame frame{.id = 0x06C, .size = 2, .data = {1, 2}};
    const std::array<std::uint8_t, 4> body{0x6C, 0x00, 0x01, 0x02};
    const std::uint16_t crc = crc16_dnp(body);
    const auto low = static_cast<std::uint8_t>(crc & 0xFF);
    const auto high = static_cast<std::uint8_t>(crc >> 8);
    ASSERT_TRUE(low != 0 && high != 0);
    EXPECT_EQ(bytes_of(frame), (Bytes{2, 0x6C, 5, 0x01, 0x02, low, high, 0}));
}

TEST(SerialFraming, HasNoZeroButItsEndAndComesBackEqual) {
    std::mt19937 chance(7);
    for (int i = 0; i < 20'000; ++i) {
        CanFrame frame{.id = static_cast<std::uint32_t>(chance() & kMaxCanId),
                       .size = static_cast<std::uint8_t>(chance() % 9)};
        for (std::uint8_t b = 0; b < frame.size; ++b)
            frame.data[b] = static_cast<std::uint8_t>(chance() % 3 == 0 ? 0 : chance());
        const Bytes bytes = bytes_of(frame);
        ASSERT_EQ(bytes.size(), frame.size + 6u);
        ASSERT_EQ(std::count(bytes.begin(), bytes.end(), 0), 1);
        ASSERT_EQ(bytes.back(), 0);
        const Heard heard = hear(bytes);
        ASSERT_EQ(heard.frames.size(), 1u);
        ASSERT_TRUE(equal(heard.frames[0], frame));
    }
}

TEST(SerialFraming, AFlippedBitNeverMakesAnotherFrame) {
    const CanFrame first = numbered(0x69, 8), second = numbered(0x0C, 4, 0x35),
                   third = numbered(0x7E1, 8, 0x5A);
    const Bytes clean = joined({bytes_of(first), bytes_of(second), bytes_of(third)});
    for (std::size_t bit = 0; bit < 8 * clean.size(); ++bit) {
        Bytes damaged = clean;
        damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ 1u << bit % 8);
        const Heard heard = hear(damaged);
        for (const CanFrame& frame : heard.frames)
            EXPECT_TRUE(equal(frame, first) || equal(frame, second) || equal(frame, third)) << "bit " << bit;
        // A damaged end joins two frames and loses both; anything else costs one.
        EXPECT_GE(heard.frames.size(), 1u) << "bit " << bit;
        EXPECT_LT(heard.frames.size(), 3u) << "bit " << bit;
    }
}

TEST(SerialFraming, FindsItsPlaceAfterGarbage) {
    const CanFrame sent = numbered(0x2C, 8);
    for (const Bytes& garbage : {Bytes{}, Bytes{0}, Bytes{0, 0, 0}, Bytes(1000, 0xFF), Bytes(40, 0x01),
                                 Bytes{0xFF, 0}, Bytes{'b', 'o', 'o', 't', '\n'}}) {
        const bool ends_in_zero = garbage.empty() || garbage.back() == 0;
        const Heard heard = hear(joined({garbage, bytes_of(sent), bytes_of(sent)}));
        EXPECT_EQ(heard.frames.size(), ends_in_zero ? 2u : 1u);
        ASSERT_FALSE(heard.frames.empty());
        EXPECT_TRUE(equal(heard.frames.back(), sent));
    }
}

TEST(SerialFraming, ATruncatedFrameCostsTheOneBehindItAtMost) {
    const CanFrame sent = numbered(0x2C, 8);
    const Bytes whole = bytes_of(sent);
    for (std::size_t kept = 1; kept < whole.size(); ++kept) {
        const Bytes piece(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(kept));
        const Heard heard = hear(joined({piece, whole, whole}));
        ASSERT_EQ(heard.frames.size(), 1u) << kept;
        EXPECT_EQ(heard.damaged, 1) << kept;
        EXPECT_TRUE(equal(heard.frames[0], sent));
    }
}

TEST(SerialFraming, AWrongLengthOrIdentifierIsDamageEvenWithTheRightCrc) {
    // By hand: body, CRC, COBS of a body without zeros.
    const auto stuffed = [](Bytes body) {
        const std::uint16_t crc = crc16_dnp(body);
        body.push_back(static_cast<std::uint8_t>(crc & 0xFF));
        body.push_back(static_cast<std::uint8_t>(crc >> 8));
        EXPECT_EQ(std::count(body.begin(), body.end(), 0), 0);
        body.insert(body.begin(), static_cast<std::uint8_t>(body.size() + 1));
        body.push_back(0);
        return body;
    };
    EXPECT_EQ(hear(stuffed({0x01, 0x07})).frames.size(), 1u);
    EXPECT_EQ(hear(stuffed({0x01, 0x08})).damaged, 1) << "an identifier beyond 11 bits";
    EXPECT_EQ(hear(stuffed({0x01})).damaged, 1) << "half an identifier";
    EXPECT_EQ(hear(stuffed(Bytes(11, 0x01))).damaged, 1) << "nine bytes of data";
}

TEST(SerialFraming, NoiseIsNotAFrame) {
    std::mt19937 chance(20261124);
    Bytes noise(1'000'000);
    for (auto& byte : noise) byte = static_cast<std::uint8_t>(chance() % 12 == 0 ? 0 : chance());
    const Heard heard = hear(noise);
    EXPECT_LE(heard.frames.size(), 3u);  // a CRC of 16 bits passes one in 65536
    EXPECT_GT(heard.damaged, 10'000);
}

}  // namespace
}  // namespace holdfast::link
