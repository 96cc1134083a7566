#include <gtest/gtest.h>

#include <set>

#include "shm/names.hpp"
#include "shm/segment.hpp"

namespace holdfast::shm {
namespace {

std::size_t bytes_of(const nlohmann::json& field) {
    std::size_t bytes = std::stoul(field["dtype"].get<std::string>().substr(2));
    for (const auto& length : field["shape"]) bytes *= length.get<std::size_t>();
    return bytes;
}

// Fields that overlap, or a byte of the data that no field covers, would be read wrongly in Python.
void expect_gapless(const nlohmann::json& segment, const std::string& prefix, std::size_t begin,
                    std::size_t size) {
    std::size_t at = begin;
    for (const auto& field : segment["fields"]) {
        if (!field["name"].get<std::string>().starts_with(prefix)) continue;
        EXPECT_EQ(field["offset"].get<std::size_t>(), at) << field["name"];
        at += bytes_of(field);
    }
    EXPECT_EQ(at, begin + size) << prefix;
}

TEST(DescribeLayout, CoversEveryByteOfTheData) {
    const auto layout = describe_layout();
    expect_gapless(layout["state"], "header.", 0, sizeof(Header));
    expect_gapless(layout["state"], "data.", offsetof(StateSegment, data), sizeof(StateData));
    expect_gapless(layout["state"], "wake.", offsetof(StateSegment, wake), sizeof(Histogram));
    expect_gapless(layout["state"], "read.", offsetof(StateSegment, read), sizeof(Histogram));
    expect_gapless(layout["state"], "estimate.", offsetof(StateSegment, estimate), sizeof(Histogram));
    expect_gapless(layout["state"], "shield.", offsetof(StateSegment, shield), sizeof(Histogram));
    expect_gapless(layout["state"], "write.", offsetof(StateSegment, write), sizeof(Histogram));
    expect_gapless(layout["safety"], "data.", offsetof(SafetySegment, data), sizeof(SafetyData));
    EXPECT_EQ(layout["state"]["size"], sizeof(StateSegment));
    EXPECT_EQ(layout["safety"]["magic"], kSafetyMagic);
}

TEST(DescribeLayout, NamesEveryCounterOnce) {
    const auto layout = describe_layout();
    EXPECT_EQ(layout["enums"]["Counter"].size(), static_cast<std::size_t>(Counter::kCount));
    EXPECT_EQ(layout["enums"]["Counter"]["drive_errors"], static_cast<int>(Counter::kDriveErrors));
    EXPECT_EQ(layout["enums"]["Counter"]["attitude_gated"], static_cast<int>(Counter::kAttitudeGated));
    EXPECT_EQ(layout["enums"]["EstimateHealth"]["unhealthy"], static_cast<int>(EstimateHealth::kUnhealthy));
    EXPECT_EQ(layout["enums"]["Mode"]["estop"], static_cast<int>(Mode::kEstop));
}

TEST(Names, OfValuesFromElsewhereAreUnknown) {
    EXPECT_EQ(name_of(static_cast<Mode>(77)), "unknown");
    EXPECT_EQ(name_of(StopCause::kCoreLost), "core_lost");
    EXPECT_EQ(name_of(ControllerFault::kNotFinite), "not_finite");
    EXPECT_EQ(name_of(ControllerState::kRunning), "running");
}

}  // namespace
}  // namespace holdfast::shm
