// Measures a whole Tier-1 cycle for robots of 1, 6, 12 and 32 position channels: frames of every drive read
// from real unix: links, every channel filtered on its way along a sine, a frame sent to every drive,
// everything published. The drives are a sink in the same thread that answers between two cycles, outside
// what is measured. The robot's clock is simulated, one period a cycle; what is measured is real. Prints one
// JSON object.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <numbers>
#include <stdexcept>

#include "core/tier1.hpp"
#include "drive/cansimple.hpp"
#include "quantiles.hpp"
#include "rt/clock.hpp"

namespace {

using namespace holdfast;
using nlohmann::json;

constexpr std::array<std::size_t, 4> kChannelCounts{1, 6, 12, 32};
constexpr std::size_t kDrivesPerLink = 4;  // a unix: socket takes ten frames, a drive sends two at once
constexpr int kCyclesPerTick = 10;
constexpr std::uint8_t kClosedLoop = 8;
constexpr double kAmplitude = 0.5;

std::int64_t& robot_clock() {
    static std::int64_t now_ns = 1'000'000'000'000;
    return now_ns;
}

class NoEngine final : public wasm::Engine {
  public:
    void increment_epoch() override {}
    void prepare_thread() override {}
};

class RunDirectory {
  public:
    RunDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "holdfast-cycle-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory can be made");
        path_ = name;
    }
    RunDirectory(const RunDirectory&) = delete;
    RunDirectory& operator=(const RunDirectory&) = delete;
    ~RunDirectory() { std::filesystem::remove_all(path_); }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

StateChannel state_of(std::size_t drive, Quantity quantity) {
    StateChannel state;
    state.name = std::to_string(drive) + (quantity == Quantity::kPosition ? ".position" : ".velocity");
    state.drive = drive;
    state.quantity = quantity;
    state.limits = {-4.0, 4.0};
    state.max_age_ns = 20'000'000;
    return state;
}

RobotConfig robot_of(std::size_t channels) {
    RobotConfig config;
    config.id = "bench";
    for (std::size_t i = 0; i < channels; ++i) {
        CommandChannel command;
        command.name = "joint" + std::to_string(i);
        command.kind = ChannelKind::kPosition;
        command.limits = {-3.0, 3.0};
        command.max_rate = 5.0;
        command.max_accel = 50.0;
        command.position_state = config.states.size();
        config.commands.push_back(command);
        config.states.push_back(state_of(i, Quantity::kPosition));
        config.states.push_back(state_of(i, Quantity::kVelocity));
        Drive drive;
        drive.name = command.name;
        drive.link = "unix:sink-" + std::to_string(i / kDrivesPerLink) + ".sock";
        drive.profile = "odrive-cansimple";
        drive.node = static_cast<std::uint32_t>(i % kDrivesPerLink + 1);
        drive.turns_per_unit = 16.0;
        drive.command = i;
        config.drives.push_back(drive);
    }
    return config;
}

template <typename T>
T require(Expected<T> value) {
    if (!value) throw std::runtime_error(value.error().message);
    return std::move(*value);
}

// The far end of every link: drives that are where they were told to be, and say how fast they got there.
class Sink {
  public:
    Sink(const RobotConfig& config, const std::filesystem::path& run_directory)
        : config_(config), position_(config.drives.size()), reported_(config.drives.size()) {
        for (std::size_t d = 0; d < config.drives.size(); d += kDrivesPerLink)
            links_.push_back(require(open_drive_side(config.drives[d].link, run_directory)));
    }
    void take() {
        CanFrame frame;
        for (std::size_t l = 0; l < links_.size(); ++l) {
            while (links_[l]->receive(frame) == LinkResult::kOk) obey(l, frame);
        }
    }
    void report() {
        const double period_s = static_cast<double>(config_.tier1_period_ns()) * 1e-9;
        for (std::size_t d = 0; d < config_.drives.size(); ++d) {
            const Drive& drive = config_.drives[d];
            CanFrame estimate{.id = cansimple::frame_id(drive.node, cansimple::Command::kGetEncoderEstimates),
                              .size = 8};
            const double moved = position_[d] - reported_[d];
            reported_[d] = position_[d];
            cansimple::put_f32(estimate, 0, static_cast<float>(position_[d] * drive.turns_per_unit));
            cansimple::put_f32(estimate, 4, static_cast<float>(moved / period_s * drive.turns_per_unit));
            send(d, estimate);
            if (cycle_ % 100 != d % 100 && cycle_ > 10) continue;
            CanFrame heartbeat{.id = cansimple::frame_id(drive.node, cansimple::Command::kHeartbeat),
                               .size = 8};
            heartbeat.data[4] = kClosedLoop;
            send(d, heartbeat);
        }
        ++cycle_;
    }
    [[nodiscard]] double position(std::size_t drive) const { return position_[drive]; }

  private:
    void obey(std::size_t link, const CanFrame& frame) {
        if (cansimple::command_of(frame) != cansimple::Command::kSetInputPos) return;
        const std::size_t drive = link * kDrivesPerLink + cansimple::node_of(frame) - 1;
        position_[drive] = cansimple::get_f32(frame, 0) / config_.drives[drive].turns_per_unit;
    }
    void send(std::size_t drive, const CanFrame& frame) {
        if (links_[drive / kDrivesPerLink]->send(frame) != LinkResult::kOk)
            throw std::runtime_error("the sink's link is full");
    }

    const RobotConfig& config_;
    std::vector<std::unique_ptr<Link>> links_;
    std::vector<double> position_;
    std::vector<double> reported_;
    std::uint64_t cycle_{0};
};

class Bench {
  public:
    explicit Bench(std::size_t channels) : config_(robot_of(channels)), sink_(config_, directory_.path()) {
        exchange_.safety.store(&safety_reader_);
        setpoint_.state = shm::ControllerState::kLoaded;
        setpoint_.generation = 1;
        sink_.take();  // the core's hello
    }

    json run(std::int64_t cycles) {
        arm();
        for (std::int64_t i = 0; i < cycles / 10; ++i) (void)cycle();
        std::vector<std::int64_t> samples;
        samples.reserve(static_cast<std::size_t>(cycles));
        for (std::int64_t i = 0; i < cycles; ++i) samples.push_back(cycle());
        check();
        return bench::quantiles(std::move(samples));
    }

  private:
    // Returns how long Tier-1 worked.
    std::int64_t cycle() {
        robot_clock() += config_.tier1_period_ns();
        ++safety_.beat;
        safety_.mono_ns = robot_clock();
        safety_writer_.publish(safety_);
        sink_.report();
        if (count_++ % kCyclesPerTick == 0) tick();
        const std::int64_t begin_ns = monotonic_ns();
        tier1_.cycle({robot_clock(), robot_clock(), 0});
        const std::int64_t took_ns = monotonic_ns() - begin_ns;
        sink_.take();
        return took_ns;
    }
    void tick() {
        if (exchange_.snapshot.latest().run) {
            setpoint_.mono_ns = robot_clock();
            ++setpoint_.tick;
            const double t = 0.01 * static_cast<double>(setpoint_.tick);
            for (std::size_t c = 0; c < config_.commands.size(); ++c) {
                setpoint_.set |= 1u << c;
                setpoint_.value[c] =
                    kAmplitude * std::sin(std::numbers::pi * t + 0.3 * static_cast<double>(c));
            }
        }
        exchange_.setpoint.writable() = setpoint_;
        exchange_.setpoint.publish();
    }
    void arm() {
        for (int i = 0; i < 200; ++i) (void)cycle();
        exchange_.request(core::Request::kArm);
        for (int i = 0; i < 200; ++i) (void)cycle();
        if (static_cast<std::uint32_t>(exchange_.arm_answer.load()) != 0 || !exchange_.snapshot.latest().run)
            throw std::runtime_error("the robot of the benchmark cannot be armed");
    }
    void check() const {
        if (exchange_.counters.get(shm::Counter::kLinkSendErrors) != 0)
            throw std::runtime_error("frames were lost: what was measured is no whole cycle");
        for (std::size_t c = 0; c < config_.commands.size(); ++c) {
            if (std::abs(sink_.position(c) - setpoint_.value[c]) > 0.5 * kAmplitude)
                throw std::runtime_error(config_.commands[c].name + " did not follow its sine");
        }
    }

    RunDirectory directory_;
    RobotConfig config_;
    Sink sink_;
    NoEngine engine_;
    core::Exchange exchange_;
    shm::Writer<shm::StateSegment> segment_ = require(shm::Writer<shm::StateSegment>::create());
    shm::Writer<shm::SafetySegment> safety_writer_ = require(shm::Writer<shm::SafetySegment>::create());
    shm::Reader<shm::SafetySegment> safety_reader_ =
        require(shm::Reader<shm::SafetySegment>::map(FileDescriptor(::dup(safety_writer_.fd()))));
    shm::SafetyData safety_{
        .beat = 0, .mono_ns = 0, .latch_sequence = 0, .latch_mono_ns = 0, .cause = {}, .arm_permitted = 1};
    core::Setpoint setpoint_;
    core::Tier1 tier1_{config_,  require(core::DriveBus::open(config_, directory_.path())),
                       segment_, exchange_,
                       engine_,  1,
                       {},       [] { return robot_clock(); }};
    std::uint64_t count_{0};
};

}  // namespace

int main(int argc, char** argv) {
    std::int64_t cycles = 50'000;
    CLI::App app{
        "Measures the loop's cycle for several robots. Example: holdfast-cycle-bench --cycles 50000"};
    app.add_option("--cycles", cycles, "cycles to measure for each robot")
        ->check(CLI::Range(1'000, 100'000'000))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        json channels = json::object();
        for (const std::size_t count : kChannelCounts) {
            channels[std::to_string(count)] = std::make_unique<Bench>(count)->run(cycles);
        }
        std::cout << json{{"cycles", cycles}, {"channels", std::move(channels)}}.dump() << '\n' << std::flush;
    } catch (const std::exception& error) {
        std::cerr << "holdfast-cycle-bench: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
