// The frames of sensors, byte for byte as docs/reference.md has them.
#include "sensor/frames.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "drive/payload.hpp"

namespace holdfast::sensor {
namespace {

Sensor sensor_of(SensorProfile profile) {
    return {.name = "s", .link = "can:can0", .profile = profile, .node = 5};
}

class SensorConformance : public testing::TestWithParam<SensorProfile> {
  protected:
    Sensor sensor_ = sensor_of(GetParam());
    std::array<double, kQuantities> values_{};
    std::array<CanFrame, kMaxFrames> frames_{};
};

TEST_P(SensorConformance, EveryQuantityArrivesOnceAndEqual) {
    for (std::size_t q = 0; q < kQuantities; ++q) values_[q] = 0.25 * static_cast<double>(q) - 1.0;
    std::vector<Quantity> heard;
    const std::size_t count = encode(sensor_, values_, frames_);
    for (std::size_t i = 0; i < count; ++i) {
        const auto reading = decode(sensor_, frames_[i]);
        ASSERT_TRUE(reading);
        for (std::size_t v = 0; v < reading->count; ++v) {
            heard.push_back(reading->values[v].quantity);
            EXPECT_EQ(reading->values[v].value, values_[static_cast<std::size_t>(heard.back())]);
        }
    }
    const auto expected = quantities_of(GetParam());
    EXPECT_TRUE(std::equal(heard.begin(), heard.end(), expected.begin(), expected.end()));
}

TEST_P(SensorConformance, ReportsTheIdentifiersOfItsFrames) {
    const auto reports = sensor::reports(sensor_);
    ASSERT_EQ(reports.size(), encode(sensor_, values_, frames_));
    for (std::size_t i = 0; i < reports.size(); ++i) EXPECT_EQ(reports[i], frames_[i].id);
}

TEST_P(SensorConformance, RefusesOtherNodesOtherSizesAndEveryOtherMessage) {
    const std::size_t count = encode(sensor_, values_, frames_);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::uint8_t size = 0; size <= 8; ++size) {
            CanFrame other = frames_[i];
            other.size = size;
            if (size == frames_[i].size) continue;
            EXPECT_FALSE(decode(sensor_, other)) << int{size};
        }
        CanFrame stranger = frames_[i];
        stranger.id += 1u << 5;
        EXPECT_FALSE(decode(sensor_, stranger));
    }
    for (std::uint32_t id = 0; id <= kMaxCanId; ++id) {
        const bool own = std::any_of(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(count),
                                     [&](const CanFrame& frame) { return frame.id == id; });
        const CanFrame frame{.id = id, .size = frames_[0].size};
        EXPECT_TRUE(own || !decode(sensor_, frame)) << std::hex << id;
    }
}

TEST_P(SensorConformance, RefusesWhatIsNotFinite) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        values_.fill(bad);
        const std::size_t count = encode(sensor_, values_, frames_);
        for (std::size_t i = 0; i < count; ++i) EXPECT_FALSE(decode(sensor_, frames_[i]));
    }
}

INSTANTIATE_TEST_SUITE_P(EveryProfile, SensorConformance,
                         testing::Values(SensorProfile::kImu, SensorProfile::kForceTorque,
                                         SensorProfile::kDistance));

TEST(SensorFrames, ImuOnTheWire) {
    std::array<double, kQuantities> values{};
    values[static_cast<std::size_t>(Quantity::kAngularRateZ)] = 1.5;
    values[static_cast<std::size_t>(Quantity::kAccelerationX)] = -2.0;
    std::array<CanFrame, kMaxFrames> frames;
    ASSERT_EQ(encode(sensor_of(SensorProfile::kImu), values, frames), 3u);
    EXPECT_EQ(frames[0].id, 0xB0u);
    EXPECT_EQ(frames[1].id, 0xB1u);
    EXPECT_EQ(frames[1].size, 8);
    EXPECT_EQ(frames[1].data, (std::array<std::uint8_t, 8>{0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0}));
}

TEST(SensorFrames, DistanceOnTheWire) {
    std::array<double, kQuantities> values{};
    values[static_cast<std::size_t>(Quantity::kDistance)] = 0.75;
    std::array<CanFrame, kMaxFrames> frames;
    ASSERT_EQ(encode(sensor_of(SensorProfile::kDistance), values, frames), 1u);
    EXPECT_EQ(frames[0].id, 0xB8u);
    EXPECT_EQ(frames[0].size, 4);
    EXPECT_EQ(get_f32(frames[0], 0), 0.75F);
}

}  // namespace
}  // namespace holdfast::sensor
