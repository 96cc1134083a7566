#include "drive/cia402.hpp"

#include <array>
#include <cstdio>
#include <string_view>

namespace holdfast::cia402 {
namespace {

struct Pattern {
    std::uint16_t mask;
    std::uint16_t value;
    State state;
};

// CiA 402-2, table "state coding".
constexpr std::array kStates{
    Pattern{0x4F, 0x00, State::kNotReady},         Pattern{0x4F, 0x40, State::kSwitchOnDisabled},
    Pattern{0x6F, 0x21, State::kReadyToSwitchOn},  Pattern{0x6F, 0x23, State::kSwitchedOn},
    Pattern{0x6F, 0x27, State::kOperationEnabled}, Pattern{0x6F, 0x07, State::kQuickStopActive},
    Pattern{0x4F, 0x0F, State::kFaultReaction},    Pattern{0x4F, 0x08, State::kFault},
};

struct Code {
    std::uint16_t mask;
    std::uint16_t value;
    std::string_view name;
};

// CiA 402-2 first, then the classes of CiA 301: the first that fits names the error.
constexpr std::array kCodes{
    Code{0xFFFF, 0x2310, "continuous over current"},
    Code{0xFFFF, 0x2320, "short circuit or earth leakage"},
    Code{0xFFFF, 0x3210, "DC link over voltage"},
    Code{0xFFFF, 0x3220, "DC link under voltage"},
    Code{0xFFFF, 0x4210, "device over temperature"},
    Code{0xFFFF, 0x4310, "drive over temperature"},
    Code{0xFFFF, 0x7121, "motor blocked"},
    Code{0xFFFF, 0x7305, "encoder fault"},
    Code{0xFFFF, 0x8130, "the host's heartbeat is missing"},
    Code{0xFFFF, 0x8140, "recovered from bus-off"},
    Code{0xFFFF, 0x8250, "no command arrived in time (RPDO time-out)"},
    Code{0xFFFF, 0x8400, "velocity control failed"},
    Code{0xFFFF, 0x8500, "position control failed"},
    Code{0xFFFF, 0x8611, "following error too large"},
    Code{0xFFFF, 0x8612, "reference limit"},
    Code{0xFF00, 0x2100, "current on the input side"},
    Code{0xFF00, 0x2200, "current inside the device"},
    Code{0xFF00, 0x2300, "current on the motor side"},
    Code{0xF000, 0x1000, "generic error"},
    Code{0xF000, 0x2000, "current"},
    Code{0xF000, 0x3000, "voltage"},
    Code{0xF000, 0x4000, "temperature"},
    Code{0xF000, 0x5000, "device hardware"},
    Code{0xF000, 0x6000, "device software"},
    Code{0xF000, 0x7000, "additional module"},
    Code{0xFF00, 0x8100, "communication"},
    Code{0xFF00, 0x8200, "protocol error"},
    Code{0xF000, 0x8000, "monitoring"},
    Code{0xF000, 0x9000, "external error"},
    Code{0xF000, 0xF000, "additional functions or the maker's own"},
};

std::string_view name_of_code(std::uint16_t code) {
    for (const Code& known : kCodes) {
        if ((code & known.mask) == known.value) return known.name;
    }
    return "unknown error";
}

}  // namespace

std::optional<State> state_of(std::uint16_t status_word) {
    for (const Pattern& pattern : kStates) {
        if ((status_word & pattern.mask) == pattern.value) return pattern.state;
    }
    return std::nullopt;
}

std::uint16_t status_word_of(State state) {
    for (const Pattern& pattern : kStates) {
        if (pattern.state == state) return pattern.value;
    }
    return 0;
}

std::string describe_error(std::uint32_t error) {
    if (error == kErrorFaultUnnamed) return "fault, and the drive does not say which (status word)";
    if (error == kErrorModeRefused) return "the drive refuses the mode of operation (SDO abort)";
    const auto code = static_cast<std::uint16_t>(error);
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), " (EMCY 0x%04x)", code);
    return std::string(name_of_code(code)) + text.data();
}

}  // namespace holdfast::cia402
