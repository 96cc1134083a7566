#include "plant/control.hpp"

namespace holdfast::plant {
namespace {

using nlohmann::json;

json outcome(const Expected<void>& done) {
    if (done) return {{"ok", true}};
    return {{"ok", false}, {"error", done.error().message}};
}

json refuse_unknown() {
    return {{"ok", false},
            {"error",
             "unknown request; known are {\"op\": \"status\"}, {\"op\": \"frames\", \"since_ns\": ..., "
             "\"until_ns\": ...}, {\"op\": \"fault\", \"kind\": ...}, "
             "{\"op\": \"clear_faults\"} and {\"op\": \"measure\", \"sensor\": ..., \"quantity\": ..., "
             "\"value\": ...}"}};
}

json add_fault(Plant& plant, const json& request) {
    const auto fault = parse_fault(request);
    return outcome(fault ? plant.add_fault(*fault) : Expected<void>(tl::unexpected(fault.error())));
}

json clear_faults(Plant& plant, const json& request) {
    const bool has_device = request.contains("device");
    if (request.size() != (has_device ? 2u : 1u) || (has_device && !request["device"].is_string()))
        return refuse_unknown();
    return outcome(plant.clear_faults(request.value("device", "")));
}

json set_measured(Plant& plant, const json& request) {
    const bool sound = request.size() == 4 && request.value("sensor", json()).is_string() &&
                       request.value("quantity", json()).is_string() &&
                       request.value("value", json()).is_number();
    if (!sound) return refuse_unknown();
    return outcome(plant.set_measured(request["sensor"], request["quantity"], request["value"]));
}

json frames(const Plant& plant, const json& request) {
    const bool sound = request.size() == 3 && request.value("since_ns", json()).is_number_integer() &&
                       request.value("until_ns", json()).is_number_integer();
    if (!sound) return refuse_unknown();
    json reply = plant.frames(request["since_ns"], request["until_ns"]);
    reply["ok"] = true;
    return reply;
}

}  // namespace

json answer(Plant& plant, const EnableWatch* enable, const json& request) {
    const json op = request.is_object() ? request.value("op", json()) : json();
    if (op == "status" && request.size() == 1) {
        json reply = plant.status();
        reply["enable"] = enable == nullptr ? json() : enable->status();
        reply["ok"] = true;
        return reply;
    }
    if (op == "frames") return frames(plant, request);
    if (op == "fault") return add_fault(plant, request);
    if (op == "clear_faults") return clear_faults(plant, request);
    if (op == "measure") return set_measured(plant, request);
    return refuse_unknown();
}

}  // namespace holdfast::plant
