// CANopen CiA 402 on the wire, as far as this project uses it: CiA 301 (identifiers of the predefined
// connection set, NMT, SYNC, EMCY, heartbeat, expedited SDO) and CiA 402-2/-3 (control word 6040h, status
// word 6041h, modes of operation 6060h).
//
// The drive must be configured so, with its maker's tool (docs/reference.md):
//   RPDO1, type 255  control word 6040h (16), target position 607Ah or target velocity 60FFh (32)
//   TPDO1, type 1    status word 6041h (16), mode display 6061h (8), position actual value 6064h (32)
//   TPDO2, type 1    velocity actual value 606Ch (32), in counts a second
//   1017h            the heartbeat period that robot.toml says
//   1400h:05         the event timer of RPDO1: the drive's watchdog on us
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "link/link.hpp"

namespace holdfast::cia402 {

// Function codes: the identifier is the code plus the node.
inline constexpr std::uint32_t kNmtId = 0x000;
inline constexpr std::uint32_t kSyncId = 0x080;
inline constexpr std::uint32_t kEmergency = 0x080;
inline constexpr std::uint32_t kTpdo1 = 0x180;
inline constexpr std::uint32_t kRpdo1 = 0x200;
inline constexpr std::uint32_t kTpdo2 = 0x280;
inline constexpr std::uint32_t kSdoToClient = 0x580;
inline constexpr std::uint32_t kSdoToServer = 0x600;
inline constexpr std::uint32_t kHeartbeat = 0x700;

inline constexpr std::uint8_t kRpdo1Size = 6;
inline constexpr std::uint8_t kTpdo1Size = 7;
inline constexpr std::uint8_t kTpdo2Size = 4;

enum class NmtCommand : std::uint8_t { kStart = 0x01 };
enum class NmtState : std::uint8_t {
    kBootUp = 0x00,
    kStopped = 0x04,
    kOperational = 0x05,
    kPreOperational = 0x7F
};

enum class Mode : std::int8_t { kCyclicPosition = 8, kCyclicVelocity = 9 };

// The states of the drive's state machine (CiA 402-2, figure "power drive system finite state automaton").
enum class State : std::uint8_t {
    kNotReady,
    kSwitchOnDisabled,
    kReadyToSwitchOn,
    kSwitchedOn,
    kOperationEnabled,
    kQuickStopActive,
    kFaultReaction,
    kFault,
};

// Control words by the command they are.
inline constexpr std::uint16_t kDisableVoltage = 0x0000;
inline constexpr std::uint16_t kQuickStop = 0x0002;
inline constexpr std::uint16_t kShutdown = 0x0006;
inline constexpr std::uint16_t kSwitchOn = 0x0007;
inline constexpr std::uint16_t kEnableOperation = 0x000F;
inline constexpr std::uint16_t kFaultReset = 0x0080;  // acts on its rising edge

// Empty: no state of the table.
[[nodiscard]] std::optional<State> state_of(std::uint16_t status_word);
// One status word of that state, for whoever plays the drive.
[[nodiscard]] std::uint16_t status_word_of(State state);

// Axis errors: the EMCY error code of the drive in the low 16 bits, or one of these.
inline constexpr std::uint32_t kErrorFaultUnnamed = 0x0001'0000;  // fault in the status word, no EMCY heard
inline constexpr std::uint32_t kErrorModeRefused =
    0x0002'0000;  // SDO abort: the drive does not know the mode
// "DC link under voltage (EMCY 0x3220)"
[[nodiscard]] std::string describe_error(std::uint32_t error);

}  // namespace holdfast::cia402
