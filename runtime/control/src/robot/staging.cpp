#include "robot/staging.hpp"

namespace holdfast::robot {
namespace {

constexpr std::int64_t kMaxStageTicks = 100'000;
constexpr double kWholeRange = 1.0;

}  // namespace

void read_staging(Section& control, ControlConfig& config) {
    const auto ticks = [&control](std::string_view key, std::uint32_t& value) {
        value = static_cast<std::uint32_t>(control.integer(key, 0, kMaxStageTicks).value_or(value));
    };
    ticks("shadow_ticks", config.shadow_ticks);
    ticks("canary_ticks", config.canary_ticks);
    config.canary_deviation =
        control.positive("canary_deviation", kWholeRange).value_or(config.canary_deviation);
    ticks("watch_ticks", config.watch_ticks);
}

}  // namespace holdfast::robot
