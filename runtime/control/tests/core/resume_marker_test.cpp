// The note that the robot was armed, which lets it arm by itself after a power cut.
#include "core/resume_marker.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "temporary_directory.hpp"

namespace holdfast::core {
namespace {

namespace fs = std::filesystem;

class ResumeMarkerTest : public testing::Test {
  protected:
    TemporaryDirectory directory_;
    fs::path file_ = directory_.path() / "control" / "armed";
};

TEST_F(ResumeMarkerTest, TellsTheNextRunOnce) {
    EXPECT_FALSE(ResumeMarker(file_).take());
    ASSERT_TRUE(ResumeMarker(file_).set(true));
    EXPECT_TRUE(ResumeMarker(file_).take());
    EXPECT_FALSE(ResumeMarker(file_).take());
}

TEST_F(ResumeMarkerTest, IsGoneOnceTheRobotIsNotArmed) {
    ResumeMarker marker(file_);
    ASSERT_TRUE(marker.set(true));
    ASSERT_TRUE(marker.set(false));
    EXPECT_FALSE(ResumeMarker(file_).take());
}

// Hazard: a robot that was stopped arms by itself after the next power cut.
TEST_F(ResumeMarkerTest, ThatCannotBeRemovedIsNotTakenForGone) {
    ResumeMarker marker(file_);
    ASSERT_TRUE(marker.set(true));
    fs::remove(file_);
    fs::create_directory(file_);
    std::ofstream(file_ / "in the way") << "";
    for (int i = 0; i < 2; ++i) {
        const auto removed = marker.set(false);
        ASSERT_FALSE(removed);
        EXPECT_NE(removed.error().message.find("cannot be removed"), std::string::npos);
    }
    fs::remove(file_ / "in the way");
    EXPECT_TRUE(marker.set(false)) << "it tries again";
    EXPECT_FALSE(fs::exists(file_));
}

TEST_F(ResumeMarkerTest, ThatCannotBeWrittenSaysSo) {
    std::ofstream(file_.parent_path()) << "a file in its place";
    EXPECT_FALSE(ResumeMarker(file_).set(true));
}

}  // namespace
}  // namespace holdfast::core
