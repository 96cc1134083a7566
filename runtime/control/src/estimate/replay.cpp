#include "estimate/replay.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iomanip>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "estimate/joints.hpp"

namespace holdfast::estimate {
namespace {

using Cells = std::array<std::optional<double>, 7>;

std::optional<double> number(const std::string& cell, bool& valid) {
    if (cell.empty()) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(cell.c_str(), &end);
    valid = valid && end == cell.c_str() + cell.size();
    return value;
}

// False: `line` has not `count` numbers, the first of them given.
bool parse(std::string line, std::size_t count, Cells& cells) {
    if (line.ends_with('\r')) line.pop_back();
    bool valid = static_cast<std::size_t>(std::count(line.begin(), line.end(), ',')) + 1 == count;
    std::size_t begin = 0;
    for (std::size_t i = 0; valid && i < count; ++i) {
        const std::size_t end = std::min(line.find(',', begin), line.size());
        cells[i] = number(line.substr(begin, end - begin), valid);
        begin = end + 1;
    }
    return valid && cells[0];
}

// Calls `row(cells, dt_s)` for each row below the header.
template <typename Row>
Expected<void> for_each_row(std::istream& in, std::size_t count, const Row& row) {
    std::string line;
    std::getline(in, line);
    std::optional<double> last_s;
    for (std::size_t at = 2; std::getline(in, line); ++at) {
        Cells cells;
        const bool whole = parse(line, count, cells);
        const std::optional<double> now_s = cells[0];
        if (!whole || !now_s) {
            return fail("line " + std::to_string(at) + ": is not " + std::to_string(count) +
                        " numbers with a time; look at the columns in --help");
        }
        row(cells, last_s ? *now_s - *last_s : 0.0);
        last_s = now_s;
    }
    return {};
}

void write_all(std::ostream& out, std::span<const double> values) {
    for (const double value : values) out << ',' << value;
}

double value_or_nan(const std::optional<double>& cell) {
    return cell.value_or(std::numeric_limits<double>::quiet_NaN());
}

Eigen::Vector3d vector_at(const Cells& cells, std::size_t first) {
    return {value_or_nan(cells[first]), value_or_nan(cells[first + 1]), value_or_nan(cells[first + 2])};
}

template <typename Matrix>
std::span<const double> row_by_row(const Matrix& symmetric) {
    // Eigen stores by columns, which is the same for a symmetric matrix.
    return {symmetric.data(), static_cast<std::size_t>(symmetric.size())};
}

}  // namespace

Expected<void> replay_joint(const RobotConfig& config, const std::string& command, std::istream& in,
                            std::ostream& out) {
    const auto joints = joints_of(config);
    const auto joint = std::find_if(joints.begin(), joints.end(), [&](const Joint& candidate) {
        return config.commands[candidate.command].name == command;
    });
    if (joint == joints.end())
        return fail("command " + command +
                    ": has no joint that is estimated; name one whose drive measures a "
                    "position or a velocity, and enable [estimator]");
    JointFilter filter(joint->model);
    out << "t_s,position,velocity,acceleration,p00,p01,p02,p10,p11,p12,p20,p21,p22,health,rejected\n"
        << std::setprecision(std::numeric_limits<double>::max_digits10);
    return for_each_row(in, 3, [&](const Cells& cells, double dt_s) {
        filter.predict(dt_s);
        filter.update({.position = cells[1], .velocity = cells[2]});
        out << *cells[0];
        write_all(out, {filter.state().data(), 3});
        write_all(out, row_by_row(filter.covariance()));
        out << ',' << static_cast<int>(filter.health()) << ',' << filter.counts().rejected << '\n';
    });
}

Expected<void> replay_attitude(const RobotConfig& config, std::istream& in, std::ostream& out) {
    AttitudeFilter filter(attitude_model(config.estimator));
    out << "t_s,w,x,y,z,bias_x,bias_y,bias_z";
    for (int i = 0; i < 36; ++i) out << ",p" << i / 6 << i % 6;
    out << ",health,rejected,gated\n" << std::setprecision(std::numeric_limits<double>::max_digits10);
    return for_each_row(in, 7, [&](const Cells& cells, double dt_s) {
        filter.predict(dt_s, vector_at(cells, 1));
        filter.update(vector_at(cells, 4));
        const Eigen::Quaterniond& q = filter.attitude();
        out << *cells[0];
        write_all(out, std::array{q.w(), q.x(), q.y(), q.z()});
        write_all(out, {filter.bias().data(), 3});
        write_all(out, row_by_row(filter.covariance()));
        out << ',' << static_cast<int>(filter.health()) << ',' << filter.counts().rejected << ','
            << filter.counts().gated << '\n';
    });
}

void print_models(const RobotConfig& config, std::ostream& out) {
    nlohmann::json joints = nlohmann::json::object();
    for (const Joint& joint : joints_of(config)) {
        const JointModel& m = joint.model;
        joints[config.commands[joint.command].name] = {{"measures_position", m.measures_position},
                                                       {"jerk_density", m.jerk_density},
                                                       {"position_std", m.position_std},
                                                       {"velocity_std", m.velocity_std},
                                                       {"timing_std_s", m.timing_std_s},
                                                       {"start_velocity_std", m.start_velocity_std},
                                                       {"start_acceleration_std", m.start_acceleration_std},
                                                       {"gate", m.trust.gate},
                                                       {"max_rejections", m.trust.max_rejections},
                                                       {"recovery", m.trust.recovery}};
    }
    const AttitudeModel a = attitude_model(config.estimator);
    const nlohmann::json attitude{{"gyro_noise", a.gyro_noise},
                                  {"bias_walk", a.bias_walk},
                                  {"accelerometer_std", a.accelerometer_std},
                                  {"accelerometer_gate", a.accelerometer_gate},
                                  {"gravity", a.gravity},
                                  {"start_tilt_std", a.start_tilt_std},
                                  {"start_bias_std", a.start_bias_std},
                                  {"gate", a.trust.gate}};
    out << nlohmann::json{{"joints", joints}, {"attitude", attitude}}.dump(1) << '\n';
}

}  // namespace holdfast::estimate
