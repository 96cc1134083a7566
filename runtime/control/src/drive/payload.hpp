// Little-endian values in the data of a CAN frame.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "link/link.hpp"

namespace holdfast {

constexpr void put_u16(CanFrame& frame, std::size_t offset, std::uint16_t value) {
    for (std::size_t i = 0; i < 2; ++i) frame.data[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}
[[nodiscard]] constexpr std::uint16_t get_u16(const CanFrame& frame, std::size_t offset) {
    return static_cast<std::uint16_t>(frame.data[offset] | frame.data[offset + 1] << 8);
}
constexpr void put_u32(CanFrame& frame, std::size_t offset, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) frame.data[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}
[[nodiscard]] constexpr std::uint32_t get_u32(const CanFrame& frame, std::size_t offset) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t{frame.data[offset + i]} << (8 * i);
    return value;
}
constexpr void put_i32(CanFrame& frame, std::size_t offset, std::int32_t value) {
    put_u32(frame, offset, std::bit_cast<std::uint32_t>(value));
}
[[nodiscard]] constexpr std::int32_t get_i32(const CanFrame& frame, std::size_t offset) {
    return std::bit_cast<std::int32_t>(get_u32(frame, offset));
}
constexpr void put_f32(CanFrame& frame, std::size_t offset, float value) {
    put_u32(frame, offset, std::bit_cast<std::uint32_t>(value));
}
[[nodiscard]] constexpr float get_f32(const CanFrame& frame, std::size_t offset) {
    return std::bit_cast<float>(get_u32(frame, offset));
}

}  // namespace holdfast
