// The last frames that the drives received, in memory, for who asks right after: reaction times of a stop are
// measured here, at the drives' end of the link.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace holdfast::plant {

struct ArrivedFrame {
    std::int64_t mono_ns{};  // CLOCK_MONOTONIC when the drive took it in
    std::uint32_t drive{};   // index into the robot's drives
    std::uint32_t command{};
    std::optional<double> value;  // channel units
};

// Not thread-safe: the plant's lock is around it.
class FrameRing {
  public:
    static constexpr std::size_t kFrames = 16'384;  // 32 drives at 1 kHz: half a second

    void add(const ArrivedFrame& frame) { frames_[count_++ % kFrames] = frame; }

    // Those of the time from `since_ns` to `until_ns`, in the order of their arrival; the first `most` of
    // them.
    [[nodiscard]] std::vector<ArrivedFrame> between(std::int64_t since_ns, std::int64_t until_ns,
                                                    std::size_t most) const {
        std::vector<ArrivedFrame> found;
        for (std::uint64_t i = count_ > kFrames ? count_ - kFrames : 0; i < count_ && found.size() < most;
             ++i) {
            const ArrivedFrame& frame = frames_[i % kFrames];
            if (frame.mono_ns >= since_ns && frame.mono_ns <= until_ns) found.push_back(frame);
        }
        return found;
    }

  private:
    std::array<ArrivedFrame, kFrames> frames_{};
    std::uint64_t count_{0};
};

}  // namespace holdfast::plant
