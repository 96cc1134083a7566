#include "robot/relation_sections.hpp"

#include <algorithm>
#include <cctype>

namespace holdfast::robot {
namespace {

constexpr double kAnyMagnitude = 1e9;
constexpr std::size_t kMaxNameLength = 64;

bool is_name(std::string_view text) {
    return text.size() <= kMaxNameLength && std::ranges::all_of(text, [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
           });
}

template <typename Channel>
std::optional<std::size_t> named(const std::vector<Channel>& list, std::string_view name) {
    const auto found = std::ranges::find(list, name, &Channel::name);
    if (found == list.end()) return std::nullopt;
    return static_cast<std::size_t>(found - list.begin());
}

}  // namespace

std::optional<std::size_t> command_named(const RobotConfig& config, std::string_view name) {
    return named(config.commands, name);
}

std::optional<std::size_t> state_named(const RobotConfig& config, std::string_view name) {
    return named(config.states, name);
}

std::vector<ListEntry> list_at(const toml::table& parent, std::string_view key, const std::string& path,
                               std::size_t max, Problems& problems) {
    const toml::node* node = parent.get(key);
    if (node == nullptr) return {};
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_homogeneous<toml::table>()) {
        problems.add({node->source().begin.line, {}}, path,
                     "must be a list of tables; write [[" + path + "]]");
        return {};
    }
    std::vector<ListEntry> entries;
    for (std::size_t i = 0; i < list->size(); ++i) {
        const toml::table* table = list->get(i)->as_table();
        if (i == max) {
            problems.add({table->source().begin.line, {}}, path,
                         "there are more than " + std::to_string(max) + "; remove some");
        }
        entries.push_back({table, table->source().begin.line, i});
    }
    return entries;
}

Section EntryNames::open(const ListEntry& entry, Problems& problems, std::string& name) {
    name = (*entry.table)["name"].value_exact<std::string>().value_or("");
    const std::string place = name.empty() ? "[" + std::to_string(entry.index) + "]" : "." + name;
    Section s(problems, entry.table, path_ + place, entry.line);
    s.require("name");
    if (const auto text = s.text("name"); text && !is_name(*text))
        s.problem("name", "may have at most 64 letters, digits, '_', '.' and '-'");
    const auto first = std::ranges::find(seen_, name, [](const auto& seen) { return seen.first; });
    if (!name.empty() && first != seen_.end()) {
        s.problem("name", "is already used at line " + std::to_string(first->second) + "; give each its own");
    } else {
        seen_.emplace_back(name, s.place_of("name").line);
    }
    return s;
}

void read_jerk(Section& section, CommandChannel& channel) {
    if (channel.kind == ChannelKind::kEffort) {
        section.forbid("max_jerk", "an effort channel is limited by max_rate");
    } else {
        channel.max_jerk = section.positive("max_jerk", kAnyMagnitude);
    }
}

}  // namespace holdfast::robot
