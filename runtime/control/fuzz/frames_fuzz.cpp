// Whatever a bus carries: 17 bytes are one datagram (its length, then a struct can_frame), decoded as the
// core does for every drive of a robot, and as a simulated drive does.
#include <cmath>
#include <cstring>
#include <vector>

#include "drive/cansimple.hpp"
#include "drive/drive.hpp"
#include "fuzz.hpp"
#include "link/wire.hpp"
#include "plant/axis.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;

constexpr std::size_t kDatagram = 1 + sizeof(can_frame);

const RobotConfig& robot() {
    static const RobotConfig config =
        *load_robot_config(HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/valid/every_kind.toml");
    return config;
}

void check_sample(const Drive& drive, const CanFrame& frame) {
    const auto sample = cansimple::decode(drive, frame);
    if (!sample) return;
    claim(frame.size == 8, "only a full frame is a sample");
    for (const auto& value : {sample->position, sample->velocity, sample->effort})
        claim(!value || std::isfinite(*value), "a sample is finite");
}

void check_axis(plant::Axis& axis, const CanFrame& frame) {
    const auto received = axis.receive(frame);
    claim(!received || !received->value || std::isfinite(*received->value),
          "a drive takes finite values only");
    axis.step(0.001);
    claim(std::isfinite(axis.joint().position) && std::isfinite(axis.joint().velocity),
          "a simulated joint stays finite");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<plant::Axis> axes;
    for (std::size_t d = 0; d < robot().drives.size(); ++d) axes.emplace_back(robot(), d);
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
        for (std::size_t d = 0; d < axes.size(); ++d) {
            check_sample(robot().drives[d], *frame);
            check_axis(axes[d], *frame);
        }
    }
    return 0;
}
