#include "plant/fault.hpp"

#include <cmath>

namespace holdfast::plant {
namespace {

using nlohmann::json;

struct Kind {
    std::string_view name;
    const char* amount;  // null: it has none
    double min;
    double max;
};

// By FaultKind. A code is an axis error of CANSimple (32 bits) or an EMCY error code (16 bits).
constexpr std::array<Kind, kFaultKinds> kKinds{{{"axis_error", "code", 1.0, 4294967295.0},
                                                {"silent", nullptr, 0.0, 0.0},
                                                {"lost", "probability", 0.0, 1.0},
                                                {"late", "delay_ms", 1.0, 1000.0},
                                                {"nan", nullptr, 0.0, 0.0},
                                                {"freeze", nullptr, 0.0, 0.0},
                                                {"load", "effort", -1e6, 1e6}}};
constexpr double kMaxTimeMs = 1e9;

const Kind& kind_of(FaultKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::optional<FaultKind> kind_named(const json& name) {
    for (std::size_t i = 0; name.is_string() && i < kKinds.size(); ++i) {
        if (kKinds[i].name == name.get<std::string>()) return static_cast<FaultKind>(i);
    }
    return std::nullopt;
}

Expected<double> number(const json& request, const char* key, double min, double max) {
    const json value = request.value(key, json());
    if (value.is_number() && value.get<double>() >= min && value.get<double>() <= max)
        return value.get<double>();
    return fail(std::string("\"") + key + "\" must be a number from " + json(min).dump() + " to " +
                json(max).dump());
}

// A period is a millisecond.
Expected<std::optional<std::uint64_t>> periods(const json& request, const char* key) {
    if (!request.contains(key)) return std::nullopt;
    return number(request, key, 0.0, kMaxTimeMs).map([](double ms) {
        return std::optional(static_cast<std::uint64_t>(std::llround(ms)));
    });
}

Expected<void> refuse_unknown_keys(const json& request, const char* amount) {
    for (const auto& [key, value] : request.items()) {
        if (key == "op" || key == "device" || key == "kind" || key == "at_ms" || key == "for_ms") continue;
        if (amount != nullptr && key == amount) continue;
        return fail("\"" + key + "\" is not a key of this fault");
    }
    return {};
}

}  // namespace

std::string_view name_of(FaultKind kind) { return kind_of(kind).name; }

Expected<FaultRequest> parse_fault(const json& request) {
    if (!request.is_object()) return fail("a fault is a JSON object");
    const auto kind = kind_named(request.value("kind", json()));
    if (!kind) return fail("\"kind\" must be axis_error, silent, lost, late, nan, freeze or load");
    const Kind& meaning = kind_of(*kind);
    if (const auto known = refuse_unknown_keys(request, meaning.amount); !known)
        return tl::unexpected(known.error());
    const json device = request.value("device", json(""));
    if (!device.is_string()) return fail("\"device\" must name a drive or a sensor");
    FaultRequest fault{.device = device.get<std::string>(), .kind = *kind};
    if (meaning.amount != nullptr) {
        const auto amount = number(request, meaning.amount, meaning.min, meaning.max);
        if (!amount) return tl::unexpected(amount.error());
        fault.amount = *amount;
    }
    const auto at = periods(request, "at_ms");
    if (!at) return tl::unexpected(at.error());
    const auto lasting = periods(request, "for_ms");
    if (!lasting) return tl::unexpected(lasting.error());
    fault.at_period = *at;
    fault.periods = *lasting;
    return fault;
}

void Faults::set(FaultKind kind, double amount, std::optional<std::uint64_t> until_period) {
    entries_[static_cast<std::size_t>(kind)] = {true, amount, until_period};
}

void Faults::clear() { entries_ = {}; }

std::optional<double> Faults::active(FaultKind kind, std::uint64_t period) const {
    const Entry& entry = entries_[static_cast<std::size_t>(kind)];
    if (!entry.set || (entry.until_period && period >= *entry.until_period)) return std::nullopt;
    return entry.amount;
}

std::vector<std::string> Faults::names(std::uint64_t period) const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < kFaultKinds; ++i) {
        if (active(static_cast<FaultKind>(i), period)) all.emplace_back(kKinds[i].name);
    }
    return all;
}

}  // namespace holdfast::plant
