// The latch on its way to the disk.
#include "safety/recorder.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "temporary_directory.hpp"
#include "test_process.hpp"

namespace holdfast::safety {
namespace {

class RecorderTest : public testing::Test {
  protected:
    // As the loop tells of a latch that has changed.
    void latch(LatchWord word) {
        mailbox_.last_sequence = std::max(mailbox_.last_sequence.load(), word.sequence());
        mailbox_.latch = word;
        mailbox_.periods.fetch_add(1);
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(latch_event_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    }
    LatchRecord on_disk() const {
        const auto loaded = load_record(file_);
        EXPECT_FALSE(loaded.damage) << *loaded.damage;
        return loaded.record;
    }

    TemporaryDirectory directory_;
    std::filesystem::path file_ = directory_.path() / "estop.json";
    Mailbox mailbox_;
    FileDescriptor latch_event_{::eventfd(0, EFD_CLOEXEC)};
    Recorder recorder_{file_, {}, mailbox_, latch_event_.get()};
};

TEST_F(RecorderTest, ABrokenContactFoundUnderAStopReachesTheDisk) {
    const LatchWord operators(1, StopCause::kOperator);
    const LatchWord broken(1, StopCause::kEstopDiscrepancy);
    recorder_.expect_reason("smoke");
    latch(operators);
    ASSERT_TRUE(eventually([&] { return recorder_.status().durable == operators; }));
    const std::string since = on_disk().since;
    latch(broken);
    ASSERT_TRUE(eventually([&] { return recorder_.status().durable == broken; }));
    const LatchRecord record = on_disk();
    EXPECT_EQ(record.cause, StopCause::kEstopDiscrepancy);
    EXPECT_EQ(record.latch_sequence, 1u);
    EXPECT_EQ(record.since, since) << "it is the same stop";
    EXPECT_NE(record.reason.find("two contacts"), std::string::npos) << record.reason;
    EXPECT_NE(record.reason.find("smoke"), std::string::npos) << record.reason;
}

// Hazard: a stop that could not be written, and its reset, leave a file of which nobody knows what it says.
TEST_F(RecorderTest, AFileThatFailedIsWrittenAgainThoughTheLatchIsBack) {
    latch(LatchWord());
    ASSERT_TRUE(eventually([&] { return mailbox_.recorded.load() == LatchWord(); }));
    const std::filesystem::path obstacle = file_.string() + ".tmp";
    std::filesystem::create_directory(obstacle);
    latch(LatchWord(1, StopCause::kOperator));
    ASSERT_TRUE(eventually([&] { return recorder_.status().error.has_value(); }));
    latch(LatchWord());
    EXPECT_FALSE(recorder_.status().durable) << "not known to be intact";
    std::filesystem::remove(obstacle);
    EXPECT_TRUE(eventually([&] { return mailbox_.recorded.load() == LatchWord(); }));
    EXPECT_FALSE(recorder_.status().error);
}

TEST_F(RecorderTest, AStopIsDurableUnderWhicheverCause) {
    latch(LatchWord(1, StopCause::kEstopDiscrepancy));
    ASSERT_TRUE(eventually([&] { return recorder_.status().durable.has_value(); }));
    EXPECT_TRUE(recorder_.wait_until_durable(LatchWord(1, StopCause::kOperator), std::chrono::seconds(0)));
    EXPECT_FALSE(recorder_.wait_until_durable(LatchWord(2, StopCause::kOperator), std::chrono::seconds(0)));
    EXPECT_FALSE(recorder_.wait_until_durable(LatchWord(), std::chrono::seconds(0)));
}

}  // namespace
}  // namespace holdfast::safety
