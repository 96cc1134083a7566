#include "robot/safety_section.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace holdfast::robot {
namespace {

constexpr double kMaxTimeoutMs = 60'000.0;
constexpr double kMaxDiscrepancyMs = 10'000.0;
constexpr double kMaxDropDelayMs = 10'000.0;
constexpr double kMaxTemperatureC = 150.0;
constexpr double kMaxPercent = 100.0;
constexpr std::size_t kEstopChannels = 2;
constexpr std::size_t kMaxChipName = 64;
constexpr std::uint32_t kMaxLineOffset = 9999;

std::optional<GpioLine> parse_line(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == text.npos || colon == 0 || colon > kMaxChipName) return std::nullopt;
    const std::string_view chip = text.substr(0, colon);
    const std::string_view digits = text.substr(colon + 1);
    const bool has_space = std::any_of(chip.begin(), chip.end(),
                                       [](unsigned char c) { return std::isspace(c) != 0 || c == ','; });
    GpioLine line{.chip = std::string(chip), .offset = 0};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), line.offset);
    const bool whole = error == std::errc() && end == digits.data() + digits.size();
    if (!whole || has_space || digits.size() > 4 || line.offset > kMaxLineOffset) return std::nullopt;
    return line;
}

bool same(const GpioLine& a, const GpioLine& b) { return a.chip == b.chip && a.offset == b.offset; }

void not_a_line(const Section& s, std::string_view key, const std::string& text) {
    s.problem(key, "\"" + text + "\" is not a GPIO line; write \"CHIP:NUMBER\", for example \"gpiochip0:5\"");
}

Reaction read_reaction(Section& s, std::string_view key, Reaction standard) {
    const auto chosen = s.choice(key, {"stop", "warn", "off"});
    return chosen ? static_cast<Reaction>(*chosen) : standard;
}

double read_at_most(Section& s, std::string_view key, double max, double standard) {
    return s.positive(key, max).value_or(standard);
}

void read_heartbeats(Section& s, SafetyConfig& c, const RobotConfig& config) {
    c.priority = static_cast<int>(s.integer("priority", 1, 99).value_or(c.priority));
    if (c.priority <= config.control.tier1_priority) {
        s.problem("priority", "must be above control.tier1_priority " +
                                  std::to_string(config.control.tier1_priority) +
                                  ": the loop must never delay a stop");
    }
    c.core_timeout_ns = s.milliseconds_as_ns("core_timeout_ms", kMaxTimeoutMs).value_or(c.core_timeout_ns);
    if (c.core_timeout_ns < 2 * config.tier1_period_ns()) {
        s.problem("core_timeout_ms",
                  "is below two Tier-1 periods and would stop a healthy robot; make it longer");
    }
    c.worker_timeout_ns =
        s.milliseconds_as_ns("worker_timeout_ms", kMaxTimeoutMs).value_or(c.worker_timeout_ns);
    c.worker_required = s.boolean("worker_required").value_or(c.worker_required);
}

// Hazard: one channel alone, or one line named twice, looks like two and is none.
void read_estop_lines(Section& s, SafetyConfig& c, const RobotConfig& config) {
    if (const auto texts = s.texts("estop_lines"); texts && texts->size() != kEstopChannels) {
        s.problem("estop_lines", "must name two lines, one for each contact of the e-stop, not " +
                                     std::to_string(texts->size()));
    } else if (texts) {
        for (const std::string& text : *texts) {
            if (const auto line = parse_line(text)) {
                c.estop_lines.push_back(*line);
            } else {
                not_a_line(s, "estop_lines", text);
            }
        }
        if (c.estop_lines.size() == kEstopChannels && same(c.estop_lines[0], c.estop_lines[1]))
            s.problem("estop_lines", "name one line twice; give each contact its own");
    }
    const auto level = s.choice("estop_stop_level", {"low", "high"});
    c.estop_stop_is_high = level.value_or(0) == 1;
    if (const auto ms = s.positive("estop_discrepancy_ms", kMaxDiscrepancyMs)) {
        c.estop_discrepancy_ns = std::llround(*ms * 1e6);
        if (c.estop_discrepancy_ns < config.tier1_period_ns())
            s.problem("estop_discrepancy_ms", "is below the period of tier1_hz; make it longer");
    }
}

void read_enable_line(Section& s, SafetyConfig& c) {
    if (const auto text = s.text("enable_line")) {
        c.enable_line = parse_line(*text);
        if (!c.enable_line) not_a_line(s, "enable_line", *text);
    }
    for (const GpioLine& input : c.estop_lines) {
        if (c.enable_line && same(input, *c.enable_line))
            s.problem("enable_line", "is also one of estop_lines; give it a line of its own");
    }
    c.enable_pulses = s.choice("enable_signal", {"level", "pulse"}).value_or(0) == 1;
    if (const auto ms = s.number("enable_drop_delay_ms")) {
        c.enable_drop_delay_ns = std::llround(*ms * 1e6);
        if (*ms < 0.0 || *ms > kMaxDropDelayMs)
            s.problem("enable_drop_delay_ms", "is not between 0 and 10000; choose a value in that range");
    }
}

void read_health(Section& s, SafetyConfig& c) {
    c.drive_faults = read_reaction(s, "drive_faults", c.drive_faults);
    c.core_overruns = read_reaction(s, "core_overruns", c.core_overruns);
    c.temperature = read_reaction(s, "temperature", c.temperature);
    c.max_temperature_c = read_at_most(s, "max_temperature_c", kMaxTemperatureC, c.max_temperature_c);
    c.temperature_hysteresis_c =
        read_at_most(s, "temperature_hysteresis_c", kMaxTemperatureC, c.temperature_hysteresis_c);
    if (c.temperature_hysteresis_c >= c.max_temperature_c)
        s.problem("temperature_hysteresis_c", "is not below max_temperature_c; make it smaller");
    c.temperature_required = s.boolean("temperature_required").value_or(c.temperature_required);
    if (c.temperature_required && c.temperature == Reaction::kOff)
        s.problem("temperature_required", "contradicts temperature = \"off\"; remove one of them");
    c.memory_pressure = read_reaction(s, "memory_pressure", c.memory_pressure);
    c.max_memory_pressure_percent =
        read_at_most(s, "max_memory_pressure_percent", kMaxPercent, c.max_memory_pressure_percent);
}

void read_watchdog_and_evidence(Section& s, SafetyConfig& c) {
    if (const auto device = s.text("watchdog")) {
        c.watchdog = *device;
        if (!device->starts_with("/dev/"))
            s.problem("watchdog", "\"" + *device + "\" is not a device; write \"/dev/watchdog0\"");
        // Another kind of device file, which neither the unit nor the udev rule of the image lets the daemon
        // open.
        if (*device == "/dev/watchdog")
            s.problem(
                "watchdog",
                "\"/dev/watchdog\" is the old name of the first one, which the daemon may not open; write "
                "\"/dev/watchdog0\"");
    }
    c.watchdog_timeout_s =
        static_cast<int>(s.integer("watchdog_timeout_s", 1, 3600).value_or(c.watchdog_timeout_s));
    c.evidence_files =
        static_cast<std::uint32_t>(s.integer("evidence_files", 1, 1000).value_or(c.evidence_files));
}

}  // namespace

const std::vector<std::string_view>& safety_keys() {
    static const std::vector<std::string_view> keys{"priority",
                                                    "core_timeout_ms",
                                                    "worker_timeout_ms",
                                                    "worker_required",
                                                    "estop_lines",
                                                    "estop_stop_level",
                                                    "estop_discrepancy_ms",
                                                    "enable_line",
                                                    "enable_signal",
                                                    "enable_drop_delay_ms",
                                                    "drive_faults",
                                                    "core_overruns",
                                                    "temperature",
                                                    "max_temperature_c",
                                                    "temperature_hysteresis_c",
                                                    "temperature_required",
                                                    "memory_pressure",
                                                    "max_memory_pressure_percent",
                                                    "watchdog",
                                                    "watchdog_timeout_s",
                                                    "evidence_files"};
    return keys;
}

SafetyConfig read_safety(Section& section, const RobotConfig& config) {
    SafetyConfig safety;
    read_heartbeats(section, safety, config);
    read_estop_lines(section, safety, config);
    read_enable_line(section, safety);
    read_health(section, safety);
    read_watchdog_and_evidence(section, safety);
    section.refuse_unknown_keys();
    return safety;
}

}  // namespace holdfast::robot
