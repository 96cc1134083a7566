#include "robot/bus_load.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "robot/link_url.hpp"

namespace holdfast {
namespace {

constexpr double kCanBitrate = 1e6;  // the fastest that CAN 2.0 has

struct Direction {
    double frames_per_s{};
    double can_bits_per_s{};
    double serial_bits_per_s{};

    void add(std::size_t size, double per_s) {
        frames_per_s += per_s;
        can_bits_per_s += can_frame_bits(size) * per_s;
        serial_bits_per_s += serial_frame_bits(size) * per_s;
    }
};

struct Traffic {
    std::string url;
    Direction to_devices;
    Direction from_devices;
    bool has_sync{false};
};

Traffic& traffic_of(std::vector<Traffic>& all, const std::string& url) {
    for (Traffic& traffic : all) {
        if (traffic.url == url) return traffic;
    }
    return all.emplace_back(Traffic{url, {}, {}, false});
}

bool measures_effort(const RobotConfig& config, std::size_t drive) {
    return std::any_of(config.states.begin(), config.states.end(), [&](const StateChannel& state) {
        return !state.sensor && state.drive == drive && state.quantity == Quantity::kEffort;
    });
}

void add_cansimple(Traffic& traffic, const RobotConfig& config, std::size_t index) {
    const Drive& drive = config.drives[index];
    const double cycle_hz = config.control.tier1_hz;
    const double feedback_hz = drive.feedback_hz != 0 ? drive.feedback_hz : cycle_hz;
    const bool effort = config.commands[drive.command].kind == ChannelKind::kEffort;
    traffic.to_devices.add(effort ? 4 : 8, cycle_hz);
    traffic.from_devices.add(8, feedback_hz);
    if (measures_effort(config, index)) traffic.from_devices.add(8, feedback_hz);
    traffic.from_devices.add(8, 1e9 / static_cast<double>(drive.heartbeat_ns));
}

void add_cia402(Traffic& traffic, const RobotConfig& config, std::size_t index) {
    const double cycle_hz = config.control.tier1_hz;
    if (!traffic.has_sync) traffic.to_devices.add(0, cycle_hz);
    traffic.has_sync = true;
    traffic.to_devices.add(6, cycle_hz);    // RPDO1
    traffic.from_devices.add(7, cycle_hz);  // TPDO1
    traffic.from_devices.add(4, cycle_hz);  // TPDO2
    traffic.from_devices.add(1, 1e9 / static_cast<double>(config.drives[index].heartbeat_ns));
}

void add_sensor(Traffic& traffic, const RobotConfig& config, const Sensor& sensor) {
    const double rate_hz = sensor.rate_hz != 0 ? sensor.rate_hz : config.control.tier1_hz;
    if (sensor.profile == SensorProfile::kDistance) return traffic.from_devices.add(4, rate_hz);
    traffic.from_devices.add(8, 3.0 * rate_hz);
}

double can_bitrate(const RobotConfig& config, const std::string& url) {
    for (const LinkSettings& link : config.links) {
        if (link.url == url) return link.bitrate;
    }
    return url.starts_with("can:vcan") ? 0.0 : kCanBitrate;
}

LinkLoad load_of(const RobotConfig& config, const Traffic& traffic) {
    const Direction& to = traffic.to_devices;
    const Direction& from = traffic.from_devices;
    LinkLoad load{traffic.url, to.frames_per_s + from.frames_per_s, to.can_bits_per_s + from.can_bits_per_s,
                  0.0};
    const auto url = parse_link_url(traffic.url);
    if (!url || url->scheme == LinkScheme::kUnix) return load;
    if (url->scheme == LinkScheme::kCan) {
        load.bitrate = can_bitrate(config, traffic.url);
    } else {  // both directions at once
        load.bits_per_s = std::max(to.serial_bits_per_s, from.serial_bits_per_s);
        load.bitrate = url->baud;
    }
    return load;
}

}  // namespace

std::vector<LinkLoad> bus_loads(const RobotConfig& config) {
    std::vector<Traffic> all;
    for (std::size_t d = 0; d < config.drives.size(); ++d) {
        Traffic& traffic = traffic_of(all, config.drives[d].link);
        if (config.drives[d].profile == "cia402") {
            add_cia402(traffic, config, d);
        } else {
            add_cansimple(traffic, config, d);
        }
    }
    for (const Sensor& sensor : config.sensors) add_sensor(traffic_of(all, sensor.link), config, sensor);
    std::vector<LinkLoad> loads;
    loads.reserve(all.size());
    for (const Traffic& traffic : all) loads.push_back(load_of(config, traffic));
    return loads;
}

std::string text_of(const LinkLoad& load) {
    const auto whole = [](double value) { return std::to_string(std::llround(value)); };
    std::string text = load.url + ": " + whole(load.frames_per_s) + " frames/s, ";
    if (load.bitrate <= 0.0) return text + whole(load.bits_per_s) + " bit/s on a link without a bit rate";
    std::array<char, 16> percent{};
    std::snprintf(percent.data(), percent.size(), "%.1f", 100.0 * load.share());
    return text + percent.data() + " % of " + whole(load.bitrate) + " bit/s";
}

}  // namespace holdfast
