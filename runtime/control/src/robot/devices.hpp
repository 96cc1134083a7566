// The sections of robot.toml about what hangs on the links: [[sensor]], [[link]], and the rules that drives
// and sensors keep between them. Called by load.cpp; problems go to the entry that they are about.
#pragma once

#include <vector>

#include "robot/config.hpp"
#include "robot/section.hpp"

namespace holdfast::robot {

inline constexpr std::uint32_t kNoNode = 0xFFFF;  // could not be read

[[nodiscard]] Sensor read_sensor(Entry& entry);
[[nodiscard]] LinkSettings read_link(Entry& entry);
// heartbeat_ms, feedback_hz, node, counts_per_turn and, for a serial: link, whether the profile can be used
// there.
void read_drive_device(Section& section, Drive& drive);

// What a state is read from must be able to measure it. False: some is not.
[[nodiscard]] bool check_state_sources(const RobotConfig& config, const std::vector<Entry>& states);
// A CiA 402 drive follows positions and velocities.
void check_drive_kinds(const RobotConfig& config, const std::vector<Entry>& drives);
// No two devices of a link may use one CAN identifier.
void check_addresses(const RobotConfig& config, const std::vector<Entry>& drives,
                     const std::vector<Entry>& sensors);
// [[link]] describes a link that is used, and each only once.
void check_links(const RobotConfig& config, const std::vector<Entry>& links);
// No bus may have to carry more than it can.
void check_bus_loads(const RobotConfig& config, const std::vector<Entry>& links,
                     const std::vector<Entry>& drives, const std::vector<Entry>& sensors);

}  // namespace holdfast::robot
