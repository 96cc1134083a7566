// The schema of robot.toml: which keys there are, what they may hold and how they must fit together.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>

#include "robot/config.hpp"
#include "robot/devices.hpp"
#include "robot/estimator.hpp"
#include "robot/input.hpp"
#include "robot/relation_sections.hpp"
#include "robot/safety_section.hpp"
#include "robot/section.hpp"
#include "robot/staging.hpp"

namespace holdfast {
namespace {

using robot::Entry;
using robot::Overrides;
using robot::Problems;
using robot::Section;

constexpr double kMaxAgeMs = 10'000.0;
constexpr double kAnyMagnitude = 1e9;
constexpr std::size_t kMaxNameLength = 64;

// Sections whose values Python validates; here only their keys are known.
const std::map<std::string, std::vector<std::string_view>, std::less<>>& worker_sections() {
    static const std::map<std::string, std::vector<std::string_view>, std::less<>> sections{
        {"worker", {"max_tasks", "heartbeat_ms", "nats_url", "nats_monitor_url"}},
        {"agent", {"provider", "model", "fallback"}},
        {"agent.fallback", {"provider", "model", "url"}},
        {"ota", {"controller", "health_window_s", "poll_s", "source", "activate"}},
        {"telemetry", {"buffer_mb", "rate_hz"}},
    };
    return sections;
}

bool is_name(std::string_view text) {
    return text.size() <= kMaxNameLength && std::all_of(text.begin(), text.end(), [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
           });
}

// A robot's id becomes a host name and a NATS subject token.
bool is_robot_id(std::string_view text) {
    return text.size() < kMaxNameLength && !text.starts_with('-') && !text.ends_with('-') &&
           std::all_of(
               text.begin(), text.end(),
               [](unsigned char c) { return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-'; });
}

class Loader {
  public:
    Loader(const toml::table& root, std::filesystem::path folder, Problems& problems)
        : root_(root),
          folder_(std::move(folder)),
          problems_(problems),
          overrides_(Overrides::from_environment()) {}

    RobotConfig load() {
        refuse_unknown_sections();
        read_robot();
        read_control();
        read_safety();
        Section estimator = section("estimator");
        config_.estimator = robot::read_estimator(estimator);
        check_worker_sections();
        check_overrides();
        commands_ = entries("command", kMaxCommandChannels, 1);
        states_ = entries("state", kMaxStateChannels, 0);
        drives_ = entries("drive", kMaxDrives, 1);
        inputs_ = entries("input", kMaxInputChannels, 0);
        sensors_ = entries("sensor", kMaxSensors, 0);
        links_ = entries("link", kMaxLinks, 0);
        for (Entry& entry : commands_) config_.commands.push_back(read_command(entry));
        for (Entry& entry : states_) config_.states.push_back(read_state(entry));
        for (Entry& entry : drives_) config_.drives.push_back(read_drive(entry));
        for (Entry& entry : inputs_) {
            config_.inputs.push_back(robot::read_input(entry.section, entry.name));
            robot::refuse_name_of_state(entry.section, entry.name, config_.states);
        }
        for (Entry& entry : sensors_) config_.sensors.push_back(robot::read_sensor(entry));
        for (Entry& entry : links_) config_.links.push_back(robot::read_link(entry));
        check_each_command_has_one_drive();
        robot::check_addresses(config_, drives_, sensors_);
        robot::check_links(config_, links_);
        if (resolved_) robot::check_drive_kinds(config_, drives_);
        resolved_ = resolved_ && robot::check_state_sources(config_, states_);
        if (resolved_) check_position_states();
        robot::read_couplings(root_, problems_, config_);
        robot::read_zones(root_, problems_, config_);
        robot::read_workspace(root_, folder_, problems_, config_);
        refuse_unknown_keys();
        if (problems_.empty()) robot::check_bus_loads(config_, links_, drives_, sensors_);
        return std::move(config_);
    }

  private:
    void refuse_unknown_sections() {
        constexpr std::array kSections{"robot",     "control",  "safety", "worker",    "agent",    "ota",
                                       "telemetry", "command",  "state",  "input",     "drive",    "sensor",
                                       "link",      "coupling", "zone",   "workspace", "estimator"};
        for (const auto& [key, value] : root_) {
            if (std::find(kSections.begin(), kSections.end(), key.str()) != kSections.end()) continue;
            problems_.add({key.source().begin.line, {}}, std::string(key.str()),
                          "is not a known section; remove it or correct its spelling");
        }
    }

    const toml::table* table_at(const toml::table& parent, std::string_view key, const std::string& path) {
        const toml::node* node = parent.get(key);
        if (node == nullptr) return nullptr;
        if (!node->is_table())
            problems_.add({node->source().begin.line, {}}, path, "must be a table; write [" + path + "]");
        return node->as_table();
    }

    Section section(const std::string& path) {
        const toml::table* table = table_at(root_, path, path);
        return {problems_, table, path, table == nullptr ? 1 : table->source().begin.line, &overrides_};
    }

    void read_robot() {
        Section robot = section("robot");
        robot.require("id");
        if (const auto id = robot.text("id")) {
            config_.id = *id;
            if (!is_robot_id(*id)) {
                robot.problem(
                    "id", "\"" + *id + "\" is not usable as a host name; use at most 63 of a-z, 0-9 and '-'");
            }
        }
        config_.model = robot.text("model").value_or("");
        robot.refuse_unknown_keys();
    }

    void read_control() {
        Section s = section("control");
        ControlConfig& c = config_.control;
        c.tier1_hz = static_cast<std::uint32_t>(s.integer("tier1_hz", 100, 2000).value_or(c.tier1_hz));
        c.controller_hz =
            static_cast<std::uint32_t>(s.integer("controller_hz", 1, 1000).value_or(c.controller_hz));
        if (c.tier1_hz % c.controller_hz != 0) {
            s.problem("controller_hz", "tier1_hz " + std::to_string(c.tier1_hz) +
                                           " is not a multiple of it; choose a divisor");
        }
        if (const auto mode = s.choice("realtime", {"require", "prefer"})) {
            c.realtime = *mode == 0 ? RealtimeMode::kRequire : RealtimeMode::kPrefer;
        }
        c.tier1_priority = static_cast<int>(s.integer("tier1_priority", 1, 98).value_or(c.tier1_priority));
        c.controller_priority =
            static_cast<int>(s.integer("controller_priority", 1, 97).value_or(c.controller_priority));
        if (c.controller_priority >= c.tier1_priority) {
            s.problem("controller_priority", "must be below tier1_priority " +
                                                 std::to_string(c.tier1_priority) +
                                                 ": a controller must never delay the loop");
        }
        c.cpu = static_cast<int>(s.integer("cpu", -1, 1023).value_or(c.cpu));
        c.overrun_limit =
            static_cast<std::uint32_t>(s.integer("overrun_limit", 1, 1000).value_or(c.overrun_limit));
        c.overrun_window =
            static_cast<std::uint32_t>(s.integer("overrun_window", 1, 1'000'000).value_or(c.overrun_window));
        if (c.overrun_limit > c.overrun_window) {
            s.problem("overrun_limit", "cannot be reached within overrun_window " +
                                           std::to_string(c.overrun_window) + " cycles; make it smaller");
        }
        c.safety_silent_cycles = static_cast<std::uint32_t>(
            s.integer("safety_silent_cycles", 2, 10'000).value_or(c.safety_silent_cycles));
        if (const auto mode = s.choice("resume", {"manual", "auto"})) {
            c.resume = *mode == 0 ? ResumeMode::kManual : ResumeMode::kAuto;
        }
        robot::read_staging(s, c);
        s.refuse_unknown_keys();
    }

    void read_safety() {
        Section s = section("safety");
        config_.safety = robot::read_safety(s, config_);
    }

    void check_worker_sections() {
        for (const auto& [path, keys] : worker_sections()) {
            const toml::table* parent = &root_;
            std::string key = path;
            if (const std::size_t dot = path.find('.'); dot != path.npos) {
                const toml::node* outer = root_.get(path.substr(0, dot));
                parent = outer == nullptr ? nullptr : outer->as_table();
                key = path.substr(dot + 1);
            }
            const toml::table* table = parent == nullptr ? nullptr : table_at(*parent, key, path);
            if (table == nullptr) continue;
            Section s(problems_, table, path, table->source().begin.line);
            for (const std::string_view known : keys) s.accept(known);
            s.refuse_unknown_keys();
        }
    }

    void check_overrides() {
        static const std::map<std::string, std::vector<std::string_view>, std::less<>> own{
            {"robot", {"id", "model"}},
            {"control",
             {"tier1_hz", "controller_hz", "realtime", "tier1_priority", "controller_priority", "cpu",
              "overrun_limit", "overrun_window", "safety_silent_cycles", "resume", "shadow_ticks",
              "canary_ticks", "canary_deviation", "watch_ticks"}},
            {"safety", robot::safety_keys()},
            {"estimator", robot::estimator_keys()},
        };
        for (const Overrides::Value& value : overrides_.values()) {
            auto found = own.find(value.section);
            if (found == own.end()) {
                found = worker_sections().find(value.section);
                if (found == worker_sections().end()) {
                    problems_.add({0, value.variable}, value.section,
                                  "is not a section that can be overridden; unset it");
                    continue;
                }
            }
            const bool known =
                std::find(found->second.begin(), found->second.end(), value.key) != found->second.end();
            if (!known || value.key == "fallback") {
                problems_.add({0, value.variable}, value.section + "." + value.key,
                              "is not a known key; unset it");
            }
        }
    }

    std::vector<Entry> entries(const std::string& kind, std::size_t max, std::size_t min) {
        std::vector<Entry> result;
        const toml::node* node = root_.get(kind);
        const toml::array* list = node == nullptr ? nullptr : node->as_array();
        if (node != nullptr && (list == nullptr || !list->is_homogeneous<toml::table>())) {
            problems_.add({node->source().begin.line, {}}, kind,
                          "must be a list of tables; write [[" + kind + "]]");
            return result;
        }
        const std::size_t count = list == nullptr ? 0 : list->size();
        if (count < min) problems_.add({1, {}}, kind, "there is none; add a [[" + kind + "]]");
        for (std::size_t i = 0; i < count; ++i) {
            const toml::table& table = *list->get(i)->as_table();
            result.push_back(entry(kind, i, table));
            if (i == max) {
                problems_.add({table.source().begin.line, {}}, kind,
                              "there are more than " + std::to_string(max) + "; remove some");
            }
        }
        check_unique_names(result);
        return result;
    }

    Entry entry(const std::string& kind, std::size_t index, const toml::table& table) {
        const auto line = table.source().begin.line;
        const std::string fallback = kind + "[" + std::to_string(index) + "]";
        const std::string name = table["name"].value_exact<std::string>().value_or("");
        Section s(problems_, &table, name.empty() ? fallback : kind + "." + name, line);
        s.require("name");
        if (const auto text = s.text("name"); text && !is_name(*text)) {
            s.problem("name", "may have at most 64 letters, digits, '_', '.' and '-'");
        }
        return {std::move(s), name};
    }

    void check_unique_names(const std::vector<Entry>& list) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                if (list[i].name.empty() || list[i].name != list[j].name) continue;
                list[i].section.problem("name", "is already used at line " +
                                                    std::to_string(list[j].section.place_of("name").line) +
                                                    "; give each its own");
                break;
            }
        }
    }

    std::optional<std::size_t> reference(const std::vector<Entry>& list, const std::string& kind, Section& s,
                                         std::string_view key, const std::string& name) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            if (list[i].name == name) return i;
        }
        s.problem(key, "there is no [[" + kind + "]] named \"" + name + "\"; add it or correct the name");
        return std::nullopt;
    }

    CommandChannel read_command(Entry& entry) {
        Section& s = entry.section;
        CommandChannel c;
        c.name = entry.name;
        s.require("kind");
        s.require("unit");
        s.require("limits");
        c.unit = s.text("unit").value_or("");
        const auto limits = s.range("limits");
        c.limits = limits.value_or(Range{});
        const auto kind = s.choice("kind", {"velocity", "position", "effort"});
        if (!kind) {
            for (const auto* key :
                 {"default", "max_rate", "max_accel", "position_state", "position_limits", "max_jerk"})
                s.accept(key);
            return c;
        }
        c.kind = static_cast<ChannelKind>(*kind);
        read_default(s, c, limits.has_value());
        read_rates(s, c);
        read_position(s, c);
        return c;
    }

    static void read_default(Section& s, CommandChannel& c, bool limits_known) {
        if (c.kind == ChannelKind::kPosition) {
            s.forbid("default", "a position channel holds its position instead");
            return;
        }
        c.default_value = s.number("default").value_or(0.0);
        if (!limits_known) return;
        if (c.limits.min > 0.0 || c.limits.max < 0.0) {
            s.problem("limits", "must contain 0, which is the stop of this channel; widen them");
        } else if (c.default_value < c.limits.min || c.default_value > c.limits.max) {
            s.problem("default", "is outside limits; choose a value within them");
        }
    }

    static void read_rates(Section& s, CommandChannel& c) {
        if (c.kind == ChannelKind::kVelocity) {
            s.forbid("max_rate", "a velocity channel is limited by max_accel");
        } else {
            s.require("max_rate");
            c.max_rate = s.positive("max_rate", kAnyMagnitude).value_or(1.0);
        }
        if (c.kind == ChannelKind::kEffort) {
            s.forbid("max_accel", "an effort channel is limited by max_rate");
        } else {
            s.require("max_accel");
            c.max_accel = s.positive("max_accel", kAnyMagnitude).value_or(1.0);
        }
        robot::read_jerk(s, c);
    }

    void read_position(Section& s, CommandChannel& c) {
        if (c.kind == ChannelKind::kEffort) {
            s.forbid("position_state", "an effort channel does not use it");
        } else if (c.kind == ChannelKind::kPosition) {
            s.require("position_state");
        }
        if (c.kind != ChannelKind::kEffort) {
            if (const auto name = s.text("position_state")) {
                c.position_state = reference(states_, "state", s, "position_state", *name);
                resolved_ = resolved_ && c.position_state.has_value();
            }
        }
        if (c.kind != ChannelKind::kVelocity) {
            s.forbid("position_limits", "only a velocity channel has them");
            return;
        }
        c.position_limits = s.range("position_limits");
        if (s.has("position_limits") && !s.has("position_state")) {
            s.problem("position_limits", "need a position_state; add it");
        }
    }

    StateChannel read_state(Entry& entry) {
        Section& s = entry.section;
        for (const auto* key : {"quantity", "unit", "limits", "max_age_ms"}) s.require(key);
        StateChannel c;
        c.name = entry.name;
        c.unit = s.text("unit").value_or("");
        c.limits = s.range("limits").value_or(Range{});
        c.max_age_ns = s.milliseconds_as_ns("max_age_ms", kMaxAgeMs).value_or(0);
        c.noise = s.positive("noise", kAnyMagnitude);
        const auto quantity = s.choice(
            "quantity", {"position", "velocity", "effort", "angular_rate_x", "angular_rate_y",
                         "angular_rate_z", "acceleration_x", "acceleration_y", "acceleration_z", "force_x",
                         "force_y", "force_z", "torque_x", "torque_y", "torque_z", "distance"});
        if (quantity) c.quantity = static_cast<Quantity>(*quantity);
        const bool has_source = read_source(s, c);
        resolved_ = resolved_ && has_source && quantity;
        return c;
    }

    // Which drive or sensor measures a state. False: none is named, or one that does not exist.
    bool read_source(Section& s, StateChannel& c) {
        if (!s.has("sensor")) {
            s.require("drive");
            const auto name = s.text("drive");
            const auto drive = name ? reference(drives_, "drive", s, "drive", *name) : std::nullopt;
            c.drive = drive.value_or(0);
            return drive.has_value();
        }
        s.forbid("drive", "a sensor measures this state");
        const auto name = s.text("sensor");
        if (name) c.sensor = reference(sensors_, "sensor", s, "sensor", *name);
        return c.sensor.has_value();
    }

    Drive read_drive(Entry& entry) {
        Section& s = entry.section;
        for (const auto* key : {"link", "profile", "node", "turns_per_unit", "channels"}) s.require(key);
        Drive d;
        d.name = entry.name;
        static const std::vector<std::string_view> profiles{"odrive-cansimple", "cia402"};
        const auto profile = s.choice("profile", profiles);
        d.profile = profiles[profile.value_or(0)];
        robot::read_drive_device(s, d);
        d.turns_per_unit = s.number("turns_per_unit").value_or(1.0);
        if (d.turns_per_unit == 0.0)
            s.problem("turns_per_unit", "is 0; say how far the motor turns for one unit");
        const auto channels = s.texts("channels");
        if (channels && channels->size() != 1) {
            s.problem("channels",
                      "a drive carries exactly one command channel, not " + std::to_string(channels->size()));
        }
        const auto command = channels && channels->size() == 1
                                 ? reference(commands_, "command", s, "channels", channels->front())
                                 : std::nullopt;
        d.command = command.value_or(kMaxCommandChannels);
        resolved_ = resolved_ && command && profile;
        return d;
    }

    void check_each_command_has_one_drive() {
        for (std::size_t c = 0; c < config_.commands.size(); ++c) {
            const Drive* carrier = nullptr;
            for (std::size_t d = 0; d < config_.drives.size(); ++d) {
                if (config_.drives[d].command != c) continue;
                if (carrier != nullptr) {
                    drives_[d].section.problem("channels", "command \"" + config_.commands[c].name +
                                                               "\" is already carried by drive \"" +
                                                               carrier->name + "\"; give it one drive");
                }
                carrier = &config_.drives[d];
            }
            if (carrier == nullptr && resolved_) {
                commands_[c].section.problem("name", "no [[drive]] carries this channel; add one");
            }
        }
    }

    // A stop holds the measured position: measured by another drive or in another unit it would be a move.
    void check_position_states() {
        for (std::size_t c = 0; c < config_.commands.size(); ++c) {
            const CommandChannel& command = config_.commands[c];
            if (!command.position_state) continue;
            const StateChannel& state = config_.states[*command.position_state];
            const Section& s = commands_[c].section;
            if (state.quantity != Quantity::kPosition) {
                s.problem(
                    "position_state",
                    "\"" + state.name + "\" is not a position; name a state with quantity \"position\"");
            } else if (config_.drives[state.drive].command != c) {
                s.problem("position_state",
                          "\"" + state.name + "\" is measured by drive \"" +
                              config_.drives[state.drive].name +
                              "\", which does not carry this channel; name its own position");
            } else if (command.kind == ChannelKind::kPosition && !command.unit.empty() &&
                       !state.unit.empty() && command.unit != state.unit) {
                s.problem("unit", "\"" + command.unit + "\" differs from \"" + state.unit +
                                      "\" of its position_state; use one unit");
            }
        }
    }

    void refuse_unknown_keys() {
        for (const auto* list : {&commands_, &states_, &inputs_, &drives_, &sensors_, &links_}) {
            for (const Entry& entry : *list) entry.section.refuse_unknown_keys();
        }
    }

    const toml::table& root_;
    std::filesystem::path folder_;  // of the file: what it refers to lies relative to it
    Problems& problems_;
    Overrides overrides_;
    RobotConfig config_;
    std::vector<Entry> commands_, states_, inputs_, drives_, sensors_, links_;
    bool resolved_{true};  // every reference so far names something
};

Expected<std::string> read_text(const std::filesystem::path& file) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error))
        return fail(file.string() + ": is a directory; name the file in it");
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        return fail(file.string() + ": cannot be read (" + std::strerror(errno) +
                    "); name the file with --config or HOLDFAST_CONFIG");
    }
    return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

Expected<RobotConfig> load_robot_config(const std::filesystem::path& file) {
    const auto text = read_text(file);
    if (!text) return tl::unexpected(text.error());
    toml::table root;
    try {
        root = toml::parse(*text, file.string());
    } catch (const toml::parse_error& error) {
        return fail(file.string() + ":" + std::to_string(error.source().begin.line) +
                    ": not valid TOML: " + std::string(error.description()));
    }
    Problems problems(file.string());
    RobotConfig config = Loader(root, file.parent_path(), problems).load();
    if (!problems.empty()) return fail(problems.text());
    return config;
}

}  // namespace holdfast
