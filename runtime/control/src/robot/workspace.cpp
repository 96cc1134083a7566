// [workspace]: where the tools may be, by the robot's URDF.
#include <algorithm>
#include <cmath>

#include "kinematics/urdf.hpp"
#include "robot/relation_sections.hpp"

namespace holdfast::robot {
namespace {

constexpr double kLargestM = 1e3;

class WorkspaceReader {
  public:
    WorkspaceReader(const toml::table& table, Problems& problems, const RobotConfig& config)
        : table_(table),
          problems_(problems),
          config_(config),
          s_(problems, &table, "workspace", table.source().begin.line) {}

    Workspace read(const std::filesystem::path& folder) {
        for (const auto* key : {"urdf", "tools", "joints"}) s_.require(key);
        read_model(folder);
        read_joints();
        if (s_.has("margin_m")) workspace_.margin_m = read_margin();
        workspace_.boxes = read_boxes("box");
        workspace_.keep_out = read_boxes("keep_out");
        if (workspace_.boxes.empty() && workspace_.keep_out.empty() && !s_.has("box") && !s_.has("keep_out"))
            s_.problem("box", "is missing; add a [[workspace.box]] or a [[workspace.keep_out]]");
        s_.refuse_unknown_keys();
        return std::move(workspace_);
    }

  private:
    double read_margin() {
        const auto margin = s_.number("margin_m");
        if (margin && (*margin < 0.0 || *margin > kLargestM)) {
            s_.problem("margin_m", "is not between 0 and 1000; choose a value in that range");
            return 0.0;
        }
        return margin.value_or(0.0);
    }

    void read_model(const std::filesystem::path& folder) {
        const auto path = s_.text("urdf");
        const auto tools = s_.texts("tools");
        if (tools && (tools->empty() || tools->size() > kMaxTools)) {
            s_.problem("tools", "must be 1 to " + std::to_string(kMaxTools) + " links of the URDF");
            return;
        }
        if (!path || !tools) return;
        const auto model = kinematics::read_urdf(folder / *path);
        if (!model) {
            s_.problem("urdf", "\"" + *path + "\" " + model.error().message);
            return;
        }
        std::vector<std::size_t> links;
        for (const std::string& tool : *tools) {
            const auto link = std::ranges::find(model->links, tool, &kinematics::Link::name);
            if (link == model->links.end()) {
                s_.problem("tools", "there is no link \"" + tool + "\" in the URDF; correct the name");
                return;
            }
            workspace_.tools.push_back(links.size());
            links.push_back(static_cast<std::size_t>(link - model->links.begin()));
        }
        workspace_.model = kinematics::reduced_to(*model, links);
        loaded_ = true;
    }

    void read_joints() {
        s_.accept("joints");
        if (!s_.has("joints")) return;
        const toml::table* joints = table_.get("joints")->as_table();
        if (joints == nullptr) {
            s_.problem("joints", "must be a table; write { JOINT = \"CHANNEL\" }");
            return;
        }
        Section mapping(problems_, joints, "workspace.joints", joints->source().begin.line);
        for (const kinematics::Joint& joint : workspace_.model.joints) {
            const bool fixed = joint.type == kinematics::JointType::kFixed;
            workspace_.sources.push_back(fixed ? JointSource{} : read_source(mapping, joint.name));
        }
        if (loaded_) mapping.refuse_unknown_keys();
    }

    JointSource read_source(Section& mapping, const std::string& joint) {
        mapping.require(joint);
        const auto name = mapping.text(joint);
        if (!name) return {};
        if (const auto command = command_named(config_, *name)) {
            check_command(mapping, joint, config_.commands[*command]);
            return {.command = command, .state = {}};
        }
        const auto state = state_named(config_, *name);
        if (!state) {
            mapping.problem(joint, "there is no [[command]] or [[state]] named \"" + *name +
                                       "\"; add it or correct the name");
        }
        return {.command = {}, .state = state};
    }

    static void check_command(Section& mapping, const std::string& joint, const CommandChannel& command) {
        if (command.kind == ChannelKind::kEffort) {
            mapping.problem(
                joint, "\"" + command.name +
                           "\" is an effort, whose motion cannot be foreseen; name a position or velocity");
        } else if (command.kind == ChannelKind::kVelocity && !command.position_state) {
            mapping.problem(joint, "\"" + command.name + "\" needs a position_state: where is the joint?");
        } else if (command.kind == ChannelKind::kPosition && !command.max_jerk) {
            mapping.problem(
                joint, "\"" + command.name + "\" needs a max_jerk: only then its way to standstill is known");
        }
    }

    std::vector<Box> read_boxes(const std::string& key) {
        s_.accept(key);
        const std::string path = "workspace." + key;
        std::vector<Box> boxes;
        for (const ListEntry& entry : list_at(table_, key, path, kMaxBoxes, problems_)) {
            Section s(problems_, entry.table, path + "[" + std::to_string(entry.index) + "]", entry.line);
            for (const auto* corner : {"min", "max"}) s.require(corner);
            boxes.push_back(read_box(s));
            s.refuse_unknown_keys();
        }
        return boxes;
    }

    static std::optional<std::array<double, 3>> corner(Section& s, std::string_view key) {
        const auto values = s.numbers(key);
        if (!values) return std::nullopt;
        if (values->size() != 3) {
            s.problem(key, "must be three numbers; write [x, y, z]");
            return std::nullopt;
        }
        return std::array{(*values)[0], (*values)[1], (*values)[2]};
    }

    static Box read_box(Section& s) {
        const auto min = corner(s, "min");
        const auto max = corner(s, "max");
        if (!min || !max) return {};
        for (std::size_t axis = 0; axis < 3; ++axis) {
            if ((*min)[axis] < (*max)[axis]) continue;
            s.problem("min", "is not below max on every axis; exchange them");
            break;
        }
        return {*min, *max};
    }

    const toml::table& table_;
    Problems& problems_;
    const RobotConfig& config_;
    Section s_;
    Workspace workspace_;
    bool loaded_{};
};

}  // namespace

void read_workspace(const toml::table& root, const std::filesystem::path& folder, Problems& problems,
                    RobotConfig& config) {
    const toml::node* node = root.get("workspace");
    if (node == nullptr) return;
    if (!node->is_table()) {
        problems.add({node->source().begin.line, {}}, "workspace", "must be a table; write [workspace]");
        return;
    }
    config.workspace = WorkspaceReader(*node->as_table(), problems, config).read(folder);
}

}  // namespace holdfast::robot
