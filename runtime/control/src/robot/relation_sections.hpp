// The sections of robot.toml about channels together. Each reads after the channels, whose names it refers
// to.
#pragma once

#include <filesystem>

#include "robot/config.hpp"
#include "robot/section.hpp"

namespace holdfast::robot {

// One table of a list of tables, [[path]], with the place of each. Wrong shapes become problems.
struct ListEntry {
    const toml::table* table;
    std::uint32_t line;
    std::size_t index;
};
[[nodiscard]] std::vector<ListEntry> list_at(const toml::table& parent, std::string_view key,
                                             const std::string& path, std::size_t max, Problems& problems);

// The name of a [[path]] entry, which must be there and be no other's.
class EntryNames {
  public:
    explicit EntryNames(std::string path) : path_(std::move(path)) {}
    [[nodiscard]] Section open(const ListEntry& entry, Problems& problems, std::string& name);

  private:
    std::string path_;
    std::vector<std::pair<std::string, std::uint32_t>> seen_;
};

[[nodiscard]] std::optional<std::size_t> command_named(const RobotConfig& config, std::string_view name);
[[nodiscard]] std::optional<std::size_t> state_named(const RobotConfig& config, std::string_view name);

void read_jerk(Section& section, CommandChannel& channel);
void read_couplings(const toml::table& root, Problems& problems, RobotConfig& config);
void read_zones(const toml::table& root, Problems& problems, RobotConfig& config);
void read_workspace(const toml::table& root, const std::filesystem::path& folder, Problems& problems,
                    RobotConfig& config);

}  // namespace holdfast::robot
