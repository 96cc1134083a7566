#include "robot/devices.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "robot/bus_load.hpp"
#include "robot/link_url.hpp"

namespace holdfast::robot {
namespace {

constexpr std::int64_t kMaxCanSimpleNode = 62;  // 6 bits; 63 means "no node yet"
constexpr std::int64_t kMaxCanOpenNode = 127;   // CiA 301
constexpr std::int64_t kMaxRateHz = 10'000;
constexpr double kMaxHeartbeatMs = 10'000.0;
constexpr double kAnyMagnitude = 1e9;
constexpr std::int64_t kMinBitrate = 10'000;
constexpr std::int64_t kMaxBitrate = 1'000'000;  // CAN 2.0
constexpr unsigned kBlockBits = 5;               // CANSimple: node << 5 | command
constexpr std::array<std::uint32_t, 7> kCanOpenFunctions{0x080, 0x180, 0x200, 0x280, 0x580, 0x600, 0x700};
constexpr std::array<std::uint32_t, 2> kCanOpenBroadcasts{0x000, 0x080};  // NMT, SYNC

bool is_drive_quantity(Quantity quantity) { return quantity <= Quantity::kEffort; }

bool measures(SensorProfile profile, Quantity quantity) {
    switch (profile) {
        case SensorProfile::kImu:
            return quantity >= Quantity::kAngularRateX && quantity <= Quantity::kAccelerationZ;
        case SensorProfile::kForceTorque:
            return quantity >= Quantity::kForceX && quantity <= Quantity::kTorqueZ;
        case SensorProfile::kDistance:
            break;
    }
    return quantity == Quantity::kDistance;
}

// Empty: the source can measure it.
std::string mismatch(const RobotConfig& config, const StateChannel& state) {
    if (state.sensor) {
        const Sensor& sensor = config.sensors[*state.sensor];
        return measures(sensor.profile, state.quantity)
                   ? ""
                   : "sensor \"" + sensor.name + "\" does not measure it; name a quantity of its profile";
    }
    const Drive& drive = config.drives[state.drive];
    if (!is_drive_quantity(state.quantity))
        return "a drive measures position, velocity or effort; name a sensor for this one";
    if (drive.profile == "cia402" && state.quantity == Quantity::kEffort)
        return "a cia402 drive reports position and velocity only; choose one of them";
    return "";
}

// A device of a link, as far as its CAN identifiers go.
struct Address {
    std::string link;
    std::string name;  // "drive \"elbow\""
    std::uint32_t node{};
    bool can_open{};
    const Section* section{};
};

bool uses(const Address& device, std::uint32_t id) {
    if (!device.can_open) return id >> kBlockBits == device.node;
    return std::any_of(kCanOpenFunctions.begin(), kCanOpenFunctions.end(),
                       [&](std::uint32_t function) { return id == function + device.node; });
}

bool uses_any_of_can_open(const Address& device, const Address& open) {
    return std::any_of(kCanOpenFunctions.begin(), kCanOpenFunctions.end(),
                       [&](std::uint32_t function) { return uses(device, function + open.node); }) ||
           std::any_of(kCanOpenBroadcasts.begin(), kCanOpenBroadcasts.end(),
                       [&](std::uint32_t id) { return uses(device, id); });
}

bool collide(const Address& a, const Address& b) {
    if (a.can_open == b.can_open) return a.node == b.node;
    return a.can_open ? uses_any_of_can_open(b, a) : uses_any_of_can_open(a, b);
}

std::vector<Address> addresses(const RobotConfig& config, const std::vector<Entry>& drives,
                               const std::vector<Entry>& sensors) {
    std::vector<Address> all;
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        const Drive& drive = config.drives[d];
        all.push_back({drive.link, "drive \"" + drive.name + "\"", drive.node, drive.profile == "cia402",
                       &drives[d].section});
    }
    for (std::size_t s = 0; s < config.sensors.size(); ++s) {
        const Sensor& sensor = config.sensors[s];
        all.push_back(
            {sensor.link, "sensor \"" + sensor.name + "\"", sensor.node, false, &sensors[s].section});
    }
    return all;
}

// Where a reader would change the load of a link: its own section, or the first device that is on it.
void report_load(const RobotConfig& config, const LinkLoad& load, const std::vector<Entry>& links,
                 const std::vector<Entry>& drives, const std::vector<Entry>& sensors) {
    const std::string what =
        text_of(load) +
        ": it cannot carry the frames; lower tier1_hz, feedback_hz or rate_hz, or use more links";
    for (std::size_t i = 0; i < config.links.size(); ++i) {
        if (config.links[i].url == load.url) return links[i].section.problem("bitrate", what);
    }
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        if (config.drives[d].link == load.url) return drives[d].section.problem("link", what);
    }
    for (std::size_t s = 0; s < config.sensors.size(); ++s) {
        if (config.sensors[s].link == load.url) return sensors[s].section.problem("link", what);
    }
}

std::string read_url(Section& s, std::string_view key) {
    const auto url = s.text(key);
    if (url && !parse_link_url(*url)) s.problem(key, "\"" + *url + "\" is not a link; " + kLinkForms);
    return url.value_or("");
}

}  // namespace

Sensor read_sensor(Entry& entry) {
    Section& s = entry.section;
    for (const auto* key : {"link", "profile", "node"}) s.require(key);
    Sensor sensor;
    sensor.name = entry.name;
    sensor.link = read_url(s, "link");
    const auto profile = s.choice("profile", {"imu", "force-torque", "distance"});
    if (profile) sensor.profile = static_cast<SensorProfile>(*profile);
    sensor.node = static_cast<std::uint32_t>(s.integer("node", 0, kMaxCanSimpleNode).value_or(kNoNode));
    sensor.rate_hz = static_cast<std::uint32_t>(s.integer("rate_hz", 1, kMaxRateHz).value_or(0));
    return sensor;
}

LinkSettings read_link(Entry& entry) {
    Section& s = entry.section;
    for (const auto* key : {"url", "bitrate"}) s.require(key);
    LinkSettings link;
    link.name = entry.name;
    link.url = read_url(s, "url");
    const auto url = parse_link_url(link.url);
    if (url && url->scheme != LinkScheme::kCan)
        s.problem("url", "only a can: link has a section; a serial: link says its baud rate in its URL");
    const auto bitrate = s.integer("bitrate", 0, kMaxBitrate);
    if (bitrate && *bitrate != 0 && *bitrate < kMinBitrate)
        s.problem("bitrate",
                  "is below 10000 bit/s; write the bit rate of the bus, or 0 for one without hardware");
    link.bitrate = static_cast<std::uint32_t>(bitrate.value_or(kMaxBitrate));
    return link;
}

void read_drive_device(Section& s, Drive& drive) {
    const bool can_open = drive.profile == "cia402";
    drive.link = read_url(s, "link");
    const std::int64_t max_node = can_open ? kMaxCanOpenNode : kMaxCanSimpleNode;
    drive.node = static_cast<std::uint32_t>(s.integer("node", can_open ? 1 : 0, max_node).value_or(kNoNode));
    drive.heartbeat_ns = s.milliseconds_as_ns("heartbeat_ms", kMaxHeartbeatMs).value_or(drive.heartbeat_ns);
    if (!can_open) {
        s.forbid("counts_per_turn", "only a cia402 drive counts");
        drive.feedback_hz = static_cast<std::uint32_t>(s.integer("feedback_hz", 1, kMaxRateHz).value_or(0));
        return;
    }
    s.forbid("feedback_hz", "a cia402 drive reports once a SYNC, which is once a cycle");
    s.require("counts_per_turn");
    drive.counts_per_turn = s.positive("counts_per_turn", kAnyMagnitude).value_or(1.0);
    // The safety daemon writes to a serial line but cannot listen to it, and a CiA 402 drive must be heard to
    // be held: it would have to be stopped with its own quick stop.
    if (const auto url = parse_link_url(drive.link); url && url->scheme == LinkScheme::kSerial)
        s.problem("link", "a cia402 drive needs a link that several processes can hear; use can:");
}

bool check_state_sources(const RobotConfig& config, const std::vector<Entry>& states) {
    bool all_fit = true;
    for (std::size_t i = 0; i < config.states.size(); ++i) {
        const std::string why = mismatch(config, config.states[i]);
        if (why.empty()) continue;
        states[i].section.problem("quantity", why);
        all_fit = false;
    }
    return all_fit;
}

void check_drive_kinds(const RobotConfig& config, const std::vector<Entry>& drives) {
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        const Drive& drive = config.drives[d];
        if (drive.profile != "cia402" || config.commands[drive.command].kind != ChannelKind::kEffort)
            continue;
        drives[d].section.problem("profile", "a cia402 drive follows positions or velocities; command \"" +
                                                 config.commands[drive.command].name +
                                                 "\" is an effort: use odrive-cansimple");
    }
}

void check_addresses(const RobotConfig& config, const std::vector<Entry>& drives,
                     const std::vector<Entry>& sensors) {
    const std::vector<Address> all = addresses(config, drives, sensors);
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            const Address& a = all[i];
            const Address& b = all[j];
            if (a.node == kNoNode || b.node == kNoNode || a.link != b.link || !collide(a, b)) continue;
            a.section->problem("node", std::to_string(a.node) + " on " + a.link +
                                           " uses CAN identifiers of " + b.name +
                                           "; give each device its own node");
            break;
        }
    }
}

void check_links(const RobotConfig& config, const std::vector<Entry>& links) {
    const auto on = [](const std::string& url) {
        return [&](const auto& device) { return device.link == url; };
    };
    for (std::size_t i = 0; i < config.links.size(); ++i) {
        const std::string& url = config.links[i].url;
        if (url.empty()) continue;
        if (std::none_of(config.drives.begin(), config.drives.end(), on(url)) &&
            std::none_of(config.sensors.begin(), config.sensors.end(), on(url))) {
            links[i].section.problem("url",
                                     "no drive or sensor is on " + url + "; correct it or remove this link");
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (config.links[j].url != url) continue;
            links[i].section.problem("url", url + " is already described; describe each link once");
            break;
        }
    }
}

void check_bus_loads(const RobotConfig& config, const std::vector<Entry>& links,
                     const std::vector<Entry>& drives, const std::vector<Entry>& sensors) {
    for (const LinkLoad& load : bus_loads(config)) {
        if (load.share() > kBusLoadMax) report_load(config, load, links, drives, sensors);
    }
}

}  // namespace holdfast::robot
