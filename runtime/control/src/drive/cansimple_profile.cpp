#include "drive/cansimple_profile.hpp"

#include <array>

namespace holdfast::cansimple {

DriveFrames Profile::enable() {
    std::array<CanFrame, kMaxEnableFrames> frames;
    DriveFrames all;
    const std::size_t count = enable_frames(drive_, kind_, frames);
    for (std::size_t i = 0; i < count; ++i) all.add(frames[i]);
    return all;
}

}  // namespace holdfast::cansimple
