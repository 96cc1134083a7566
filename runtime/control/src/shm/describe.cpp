// The layout as data: what `holdfast-control --print-layout` prints and Python builds its numpy dtypes from.
#include <cstddef>
#include <string>
#include <type_traits>

#include "shm/names.hpp"
#include "shm/segment.hpp"

namespace holdfast::shm {
namespace {

using nlohmann::json;

template <typename T>
struct Described {
    using Element = T;
    static json shape() { return json::array(); }
};
template <typename T, std::size_t N>
struct Described<std::array<T, N>> {
    using Element = T;
    static json shape() { return json::array({N}); }
};

template <typename T>
struct Plain {
    using Type = T;
};
template <typename T>
struct Plain<std::atomic<T>> {
    using Type = T;
};

template <typename T>
std::string numpy_dtype() {
    using Type = typename Plain<T>::Type;
    static_assert(std::is_arithmetic_v<Type> || std::is_enum_v<Type>);
    const char kind = std::is_floating_point_v<Type> ? 'f' : std::is_signed_v<Type> ? 'i' : 'u';
    return std::string("<") + kind + std::to_string(sizeof(Type));
}

template <typename Field>
json field(const std::string& name, std::size_t offset) {
    return {{"name", name},
            {"dtype", numpy_dtype<typename Described<Field>::Element>()},
            {"offset", offset},
            {"shape", Described<Field>::shape()}};
}

#define HOLDFAST_FIELD(prefix, base, Struct, member) \
    field<decltype(Struct::member)>(std::string(prefix) + #member, (base) + offsetof(Struct, member))

void add_header(json& fields) {
    fields.push_back(HOLDFAST_FIELD("header.", 0, Header, magic));
    fields.push_back(HOLDFAST_FIELD("header.", 0, Header, version));
    fields.push_back(HOLDFAST_FIELD("header.", 0, Header, size));
}

void add_histogram(json& fields, const std::string& prefix, std::size_t base) {
    fields.push_back(HOLDFAST_FIELD(prefix, base, Histogram, bins));
    fields.push_back(HOLDFAST_FIELD(prefix, base, Histogram, count));
    fields.push_back(HOLDFAST_FIELD(prefix, base, Histogram, max_ns));
}

json state_fields() {
    json fields = json::array();
    add_header(fields);
    fields.push_back(HOLDFAST_FIELD("", 0, StateSegment, sequence));
    constexpr std::size_t kBase = offsetof(StateSegment, data);
#define HOLDFAST_STATE(member) fields.push_back(HOLDFAST_FIELD("data.", kBase, StateData, member))
    HOLDFAST_STATE(boot_id);
    HOLDFAST_STATE(cycle);
    HOLDFAST_STATE(mono_ns);
    HOLDFAST_STATE(sim_time_ns);
    HOLDFAST_STATE(mode);
    HOLDFAST_STATE(controller_state);
    HOLDFAST_STATE(controller_fault);
    HOLDFAST_STATE(realtime_degraded);
    HOLDFAST_STATE(controller_tick);
    HOLDFAST_STATE(controller_generation);
    HOLDFAST_STATE(setpoint_mono_ns);
    HOLDFAST_STATE(estop_latch_seen);
    HOLDFAST_STATE(estop_flag_seen_ns);
    HOLDFAST_STATE(estop_frame_sent_ns);
    HOLDFAST_STATE(estop_frame_cycle);
    HOLDFAST_STATE(moving);
    HOLDFAST_STATE(counters);
    HOLDFAST_STATE(state);
    HOLDFAST_STATE(state_mono_ns);
    HOLDFAST_STATE(requested);
    HOLDFAST_STATE(sent);
    HOLDFAST_STATE(wake_latency_ns);
    HOLDFAST_STATE(cycle_time_ns);
    HOLDFAST_STATE(joint_position);
    HOLDFAST_STATE(joint_velocity);
    HOLDFAST_STATE(joint_acceleration);
    HOLDFAST_STATE(joint_innovation);
    HOLDFAST_STATE(joint_health);
    HOLDFAST_STATE(attitude);
    HOLDFAST_STATE(gyro_bias);
    HOLDFAST_STATE(attitude_innovation);
    HOLDFAST_STATE(attitude_health);
    HOLDFAST_STATE(joints_untrusted);
#undef HOLDFAST_STATE
    add_histogram(fields, "wake.", offsetof(StateSegment, wake));
    add_histogram(fields, "cycle.", offsetof(StateSegment, cycle));
    add_histogram(fields, "controller.", offsetof(StateSegment, controller));
    add_histogram(fields, "read.", offsetof(StateSegment, read));
    add_histogram(fields, "estimate.", offsetof(StateSegment, estimate));
    add_histogram(fields, "shield.", offsetof(StateSegment, shield));
    add_histogram(fields, "write.", offsetof(StateSegment, write));
    return fields;
}

json safety_fields() {
    json fields = json::array();
    add_header(fields);
    fields.push_back(HOLDFAST_FIELD("", 0, SafetySegment, stop));
    fields.push_back(HOLDFAST_FIELD("", 0, SafetySegment, sequence));
    constexpr std::size_t kBase = offsetof(SafetySegment, data);
#define HOLDFAST_SAFETY(member) fields.push_back(HOLDFAST_FIELD("data.", kBase, SafetyData, member))
    HOLDFAST_SAFETY(beat);
    HOLDFAST_SAFETY(mono_ns);
    HOLDFAST_SAFETY(latch_sequence);
    HOLDFAST_SAFETY(latch_mono_ns);
    HOLDFAST_SAFETY(cause);
    HOLDFAST_SAFETY(arm_permitted);
#undef HOLDFAST_SAFETY
    return fields;
}

template <typename Enum>
json names_up_to(Enum last) {
    json names = json::object();
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(last); ++i) {
        names[std::string(name_of(static_cast<Enum>(i)))] = i;
    }
    return names;
}

}  // namespace

json describe_layout() {
    const auto last_counter = static_cast<Counter>(static_cast<std::uint32_t>(Counter::kCount) - 1);
    return {{"state",
             {{"size", sizeof(StateSegment)},
              {"magic", kStateMagic},
              {"version", kLayoutVersion},
              {"fields", state_fields()}}},
            {"safety",
             {{"size", sizeof(SafetySegment)},
              {"magic", kSafetyMagic},
              {"version", kLayoutVersion},
              {"fields", safety_fields()}}},
            {"enums",
             {{"Mode", names_up_to(Mode::kHolding)},
              {"ControllerState", names_up_to(ControllerState::kFaulted)},
              {"ControllerFault", names_up_to(ControllerFault::kEstopRequest)},
              {"StopCause", names_up_to(kLastStopCause)},
              {"EstimateHealth", names_up_to(EstimateHealth::kUnhealthy)},
              {"Counter", names_up_to(last_counter)}}}};
}

}  // namespace holdfast::shm
