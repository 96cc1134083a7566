// Whatever a bus carries: 17 bytes are one datagram (its length, then a struct can_frame), decoded as the
// core does for every drive of a robot with both profiles, and as the simulated drives do.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "drive/profile.hpp"
#include "fuzz.hpp"
#include "link/wire.hpp"
#include "plant/simulated_drive.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;

constexpr std::size_t kDatagram = 1 + sizeof(can_frame);

const RobotConfig& robot() {
    static const RobotConfig config =
        *load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/cia402.toml");
    return config;
}

// One drive, from the host's side and from its own.
struct Pair {
    explicit Pair(std::size_t d)
        : host(make_drive_profile(robot().drives[d], robot().commands[robot().drives[d].command].kind)),
          simulated(plant::make_simulated_drive(robot(), d)) {}

    void take(const CanFrame& frame) {
        if (const auto sample = host->decode(frame)) {
            for (const auto& value : {sample->position, sample->velocity, sample->effort})
                claim(!value || std::isfinite(*value), "a sample is finite");
        }
        if (!simulated->hears(frame)) return;
        const auto received = simulated->receive(frame);
        claim(!received || !received->value || std::isfinite(*received->value),
              "a drive takes finite values only");
        simulated->step(0.001);
        const plant::JointState& joint = simulated->joint().state();
        claim(std::isfinite(joint.position) && std::isfinite(joint.velocity),
              "a simulated joint stays finite");
    }

    std::unique_ptr<DriveProfile> host;
    std::unique_ptr<plant::SimulatedDrive> simulated;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<Pair> drives;
    for (std::size_t d = 0; d < robot().drives.size(); ++d) drives.emplace_back(d);
    for (; size >= kDatagram; data += kDatagram, size -= kDatagram) {
        can_frame raw{};
        std::memcpy(&raw, data + 1, sizeof raw);
        const auto frame = link::from_wire(raw, data[0]);
        if (!frame) continue;
        claim(frame->id <= kMaxCanId && frame->size <= frame->data.size(),
              "a frame is a standard data frame");
        const can_frame again = link::to_wire(*frame);
        claim(again.can_id == raw.can_id && again.can_dlc == raw.can_dlc &&
                  std::memcmp(again.data, raw.data, raw.can_dlc) == 0,
              "what was read is what would be written");
        for (Pair& drive : drives) drive.take(*frame);
    }
    return 0;
}
