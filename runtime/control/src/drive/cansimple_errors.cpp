// ODrive.Error of firmware 0.6, as its manual names the flags.
#include <array>
#include <cstdio>
#include <string_view>

#include "drive/cansimple.hpp"

namespace holdfast::cansimple {
namespace {

struct Flag {
    std::uint32_t bit;
    std::string_view name;
};

constexpr std::array kFlags{
    Flag{0x0000'0001, "still initializing"},
    Flag{0x0000'0002, "system-level fault"},
    Flag{0x0000'0004, "internal timing error"},
    Flag{0x0000'0008, "missing position or velocity estimate"},
    Flag{0x0000'0010, "bad configuration"},
    Flag{0x0000'0020, "gate driver fault"},
    Flag{0x0000'0040, "missing input"},
    Flag{0x0000'0100, "DC bus over voltage"},
    Flag{0x0000'0200, "DC bus under voltage"},
    Flag{0x0000'0400, "DC bus over current"},
    Flag{0x0000'0800, "too much regenerated current"},
    Flag{0x0000'1000, "current limit violated"},
    Flag{0x0000'2000, "motor over temperature"},
    Flag{0x0000'4000, "inverter over temperature"},
    Flag{0x0000'8000, "velocity limit violated"},
    Flag{0x0001'0000, "position limit violated"},
    Flag{0x0002'0000, "requested current too high"},
    Flag{0x0100'0000, "watchdog expired: no command arrived in time"},
    Flag{0x0200'0000, "e-stop requested"},
    Flag{0x0400'0000, "spinout: encoder and motor disagree"},
    Flag{0x0800'0000, "brake resistor disarmed"},
    Flag{0x1000'0000, "thermistor disconnected"},
    Flag{0x4000'0000, "calibration error"},
};

}  // namespace

std::string describe_error(std::uint32_t error) {
    std::string names;
    for (const Flag& flag : kFlags) {
        if ((error & flag.bit) != 0) names += (names.empty() ? "" : ", ") + std::string(flag.name);
    }
    std::array<char, 16> code{};
    std::snprintf(code.data(), code.size(), "0x%x", error);
    return (names.empty() ? "unknown error" : names) + " (" + code.data() + ")";
}

}  // namespace holdfast::cansimple
