// What goes wrong on request: {"op": "fault", ...} on plant-control.sock, or --fault at the start. Counted in
// periods of the simulation and, where chance is involved, drawn from the plant's seed: the same requests at
// the same periods give the same run.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"

namespace holdfast::plant {

enum class FaultKind : std::uint8_t {
    kAxisError,  // the drive fails with `code` of its profile
    kSilent,     // the device is gone from the link: it neither hears nor speaks
    kLost,       // each frame of the device is lost with `probability`
    kLate,       // each frame of the device comes `delay_ms` late
    kNan,        // what it measures is not a number
    kFreeze,     // it repeats its last measurement
    kLoad,       // `effort` pushes on the joint
};
inline constexpr std::size_t kFaultKinds = 7;

[[nodiscard]] std::string_view name_of(FaultKind kind);

struct FaultRequest {
    std::string device;  // a drive or a sensor; empty: every one
    FaultKind kind{};
    double amount{};                           // code, probability, delay in ms, effort
    std::optional<std::uint64_t> at_period{};  // since the start of the plant; empty: now
    std::optional<std::uint64_t> periods{};    // how long; empty: until it is cleared
};

// {"device": "elbow", "kind": "lost", "probability": 0.1, "at_ms": 500, "for_ms": 200}; the error says what
// is wrong.
[[nodiscard]] Expected<FaultRequest> parse_fault(const nlohmann::json& request);

// The faults of one device.
class Faults {
  public:
    void set(FaultKind kind, double amount, std::optional<std::uint64_t> until_period);
    void clear();
    // Its amount, if the fault is there in this period.
    [[nodiscard]] std::optional<double> active(FaultKind kind, std::uint64_t period) const;
    [[nodiscard]] std::vector<std::string> names(std::uint64_t period) const;

  private:
    struct Entry {
        bool set{false};
        double amount{};
        std::optional<std::uint64_t> until_period;
    };
    std::array<Entry, kFaultKinds> entries_{};
};

}  // namespace holdfast::plant
