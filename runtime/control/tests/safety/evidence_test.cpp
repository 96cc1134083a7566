// The ring that the loop writes, and the files that are made of it.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "safety/evidence_file.hpp"
#include "safety/evidence_writer.hpp"
#include "temporary_directory.hpp"
#include "test_process.hpp"
#include "test_robot.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPeriodNs = 1'000'000;

class EvidenceTest : public testing::Test {
  protected:
    EvidenceRing open() { return std::move(EvidenceRing::open(directory_.path() / "evidence.ring").value()); }

    // `count` periods without a stop, or after it.
    void push(EvidenceRing& ring, int count, std::uint64_t stop = 0, bool taken_in_the_first = false) {
        for (int i = 0; i < count; ++i) {
            EvidenceEntry entry{};
            entry.mono_ns = now_ns_ += 1'000'000;
            entry.latch_sequence = stop;
            entry.cause = stop == 0 ? 0 : static_cast<std::uint32_t>(shm::StopCause::kOperator);
            entry.sent[0] = static_cast<double>(i);
            entry.flags = taken_in_the_first && i == 0 ? bit(EvidenceFlag::kStopTaken) : 0;
            ring.push(entry);
        }
    }
    void stop(EvidenceRing& ring, std::uint64_t number, int periods = 600) {
        push(ring, periods, number, true);
        mailbox_.last_sequence = number;
    }
    std::size_t saved() const { return evidence_files(files_).size(); }
    static nlohmann::json header_of(const fs::path& file) {
        std::ifstream in(file, std::ios::binary);
        std::string line;
        std::getline(in, line);
        return nlohmann::json::parse(line);
    }

    TemporaryDirectory directory_;
    fs::path files_ = directory_.path() / "evidence";
    RobotConfig robot_ = test_robot();
    Mailbox mailbox_;
    std::int64_t now_ns_{0};
};

TEST_F(EvidenceTest, RingKeepsItsNewestEntries) {
    EvidenceRing ring = open();
    EXPECT_EQ(ring.last(), 0u);
    EXPECT_FALSE(ring.entry(0));
    EXPECT_FALSE(ring.entry(1));
    push(ring, static_cast<int>(kEvidenceEntries) + 10);
    EXPECT_EQ(ring.last(), kEvidenceEntries + 10);
    EXPECT_FALSE(ring.entry(10));
    ASSERT_TRUE(ring.entry(11));
    EXPECT_EQ(ring.entry(11)->sent[0], 10.0);
    EXPECT_EQ(ring.entry(ring.last())->number, ring.last());
    EXPECT_FALSE(ring.entry(ring.last() + 1));
}

TEST_F(EvidenceTest, RingOutlivesItsProcess) {
    {
        EvidenceRing ring = open();
        push(ring, 5);
    }
    EvidenceRing ring = open();
    EXPECT_EQ(ring.last(), 5u);
    push(ring, 1);
    EXPECT_EQ(ring.last(), 6u);
}

TEST_F(EvidenceTest, RingOfAnotherVersionBeginsAnew) {
    {
        EvidenceRing ring = open();
        push(ring, 5);
    }
    {
        std::fstream file(directory_.path() / "evidence.ring",
                          std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8);
        file.put(99);
    }
    EXPECT_EQ(open().last(), 0u);
    fs::resize_file(directory_.path() / "evidence.ring", 100);
    EXPECT_EQ(open().last(), 0u);
}

TEST_F(EvidenceTest, RingThatCannotBeMadeSaysWhy) {
    const auto ring = EvidenceRing::open(directory_.path() / "none" / "evidence.ring");
    ASSERT_FALSE(ring);
    EXPECT_NE(ring.error().message.find("evidence.ring"), std::string::npos);
}

// In a child: a small file system of its own, as /run is when something has filled it.
enum Outcome { kRefused = 0, kOpened = 1, kNoFileSystem = 2 };

bool own_mounts() {
    if (::unshare(CLONE_NEWNS) == 0) return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    const std::string user = "0 " + std::to_string(::geteuid()) + " 1";
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/uid_map") << user;
    return true;
}

Outcome open_on_a_small_file_system(const fs::path& directory) {
    if (!own_mounts() || ::mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=64k") != 0)
        return kNoFileSystem;
    const auto ring = EvidenceRing::open(directory / "evidence.ring");
    return !ring && ring.error().message.find("free space") != std::string::npos ? kRefused : kOpened;
}

TEST_F(EvidenceTest, RingThatHasNoSpaceIsRefusedBeforeTheLoopWritesToIt) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(open_on_a_small_file_system(directory_.path()));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << "it died of signal " << WTERMSIG(status);
    if (WEXITSTATUS(status) == kNoFileSystem) GTEST_SKIP() << "this user may not mount a file system";
    EXPECT_EQ(WEXITSTATUS(status), kRefused);
}

TEST_F(EvidenceTest, EntryIsNeverTornUnderTheLoop) {
    EvidenceRing ring = open();
    std::atomic<bool> ending{false};
    std::thread writer([&] {
        for (std::uint64_t i = 1; !ending; ++i) {
            EvidenceEntry entry{};
            entry.core_cycle = i;
            entry.sent.fill(static_cast<double>(i));
            ring.push(entry);
        }
    });
    int copies = 0;
    while (copies < 2'000) {
        const auto entry = ring.entry(ring.last());
        if (!entry) continue;
        ++copies;
        for (const double value : entry->sent) ASSERT_EQ(value, static_cast<double>(entry->core_cycle));
        ASSERT_EQ(entry->number, entry->core_cycle);
    }
    ending = true;
    writer.join();
}

TEST_F(EvidenceTest, RecordReachesTwoSecondsBackAndHalfASecondOn) {
    EvidenceRing ring = open();
    push(ring, 3000);
    stop(ring, 1, 1000);
    const auto evidence = collect_evidence(ring, 1, kPeriodNs);
    ASSERT_TRUE(evidence);
    EXPECT_EQ(evidence->entries.size(), 2501u);
    EXPECT_EQ(evidence->entries.front().number, 1001u);
    EXPECT_EQ(evidence->entries[2000].latch_sequence, 1u);
    EXPECT_EQ(evidence->entries[1999].latch_sequence, 0u);
    EXPECT_EQ(evidence->stop_mono_ns, 3'001'000'000);
    EXPECT_EQ(evidence->missing, 0u);
    EXPECT_FALSE(collect_evidence(ring, 2, kPeriodNs));
}

TEST_F(EvidenceTest, RecordIsMeasuredInTimeNotInEntries) {
    EvidenceRing ring = open();
    push(ring, 3000);
    stop(ring, 1, 1000);
    EXPECT_EQ(collect_evidence(ring, 1, 4 * kPeriodNs)->entries.size(), 626u);
}

TEST_F(EvidenceTest, StopThatStoodBeforeTheDaemonIsNoneOfItsOwn) {
    EvidenceRing ring = open();
    push(ring, 100, 7);
    EXPECT_FALSE(collect_evidence(ring, 7, kPeriodNs));
}

TEST_F(EvidenceTest, OverwrittenEntriesAreCounted) {
    EvidenceRing ring = open();
    push(ring, 3000);
    stop(ring, 1, static_cast<int>(kEvidenceEntries) - 500);
    const auto evidence = collect_evidence(ring, 1, kPeriodNs);
    ASSERT_TRUE(evidence);
    EXPECT_EQ(evidence->missing, 1500u);
    EXPECT_EQ(evidence->entries.size(), 1001u);
}

TEST_F(EvidenceTest, FileDescribesItself) {
    EvidenceRing ring = open();
    push(ring, 10);
    stop(ring, 3, 5);
    const std::string text = format_evidence(collect_evidence(ring, 3, kPeriodNs).value(), robot_, "now");
    const std::size_t end = text.find('\n');
    const auto header = nlohmann::json::parse(text.substr(0, end));
    EXPECT_EQ(header["format"], "holdfast-evidence");
    EXPECT_EQ(header["stop"], 3);
    EXPECT_EQ(header["cause"], "operator");
    EXPECT_EQ(header["entries"], 15);
    EXPECT_EQ(header["commands"], (std::vector<std::string>{"joint", "spindle", "gripper"}));
    std::size_t record = 0;
    for (const auto& field : header["fields"]) {
        const auto dtype = field["dtype"].get<std::string>();
        record += static_cast<std::size_t>(dtype.back() - '0') * field.value("count", std::size_t{1});
    }
    EXPECT_EQ(text.size() - end - 1, record * 15);
    EXPECT_EQ(header["flags"].back(), "stop_taken");
    EXPECT_EQ(header["modes"].back(), "holding") << "each mode that an entry can hold has its name";
    for (const auto& mode : header["modes"]) EXPECT_NE(mode, "unknown");
}

TEST_F(EvidenceTest, EachStopIsSavedOnce) {
    EvidenceRing ring = open();
    push(ring, 100);
    EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 5});
    stop(ring, 1);
    ASSERT_TRUE(eventually([&] { return writer.status().saved == 1; }));
    push(ring, 10);
    stop(ring, 2);
    ASSERT_TRUE(eventually([&] { return writer.status().saved == 2; }));
    EXPECT_EQ(header_of(files_ / evidence_name(2))["stop"], 2);
    EXPECT_EQ(header_of(files_ / evidence_name(1))["entries"], 601);
    EXPECT_FALSE(writer.status().error);
}

TEST_F(EvidenceTest, WaitsForWhatFollowsTheStop) {
    EvidenceRing ring = open();
    push(ring, 100);
    {
        EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 5});
        stop(ring, 1, 500);
        stop(ring, 2, 1);  // takes the place of one period: the first is complete, the second has just begun
        ASSERT_TRUE(eventually([&] { return writer.status().saved == 1; }));
    }
    EXPECT_EQ(saved(), 2u) << "what there is when the daemon ends";
}

TEST_F(EvidenceTest, StopOfADaemonThatDiedIsSavedByTheNextOne) {
    {
        EvidenceRing ring = open();
        push(ring, 100);
        stop(ring, 4, 20);
    }
    EvidenceRing ring = open();
    push(ring, 600, 4);
    const EvidenceWriter writer(robot_, ring, mailbox_, files_, 4, {.max_files = 5});
    ASSERT_TRUE(eventually([&] { return writer.status().saved == 1; }));
    EXPECT_EQ(header_of(files_ / evidence_name(4))["entries"], 601);
    EXPECT_EQ(writer.status().lost, 0u);
}

TEST_F(EvidenceTest, OldestFilesMakeRoomAndAreCounted) {
    EvidenceRing ring = open();
    EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 2});
    for (std::uint64_t number = 1; number <= 4; ++number) {
        push(ring, 10);
        stop(ring, number);
        ASSERT_TRUE(eventually([&] { return writer.status().saved == number; }));
    }
    EXPECT_EQ(writer.status().dropped, 2u);
    ASSERT_EQ(saved(), 2u);
    EXPECT_EQ(evidence_files(files_).front().filename(), evidence_name(3));
}

TEST_F(EvidenceTest, FullDiskLosesNoOlderEvidenceThatWouldNotHelp) {
    EvidenceRing ring = open();
    {
        EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 5});
        stop(ring, 1);
        ASSERT_TRUE(eventually([&] { return writer.status().saved == 1; }));
    }
    EvidenceWriter writer(robot_, ring, mailbox_, files_, 1,
                          {.max_files = 5, .reserve_bytes = std::uintmax_t{1} << 62u});
    push(ring, 10);
    stop(ring, 2);
    ASSERT_TRUE(eventually([&] { return writer.status().error.has_value(); }));
    EXPECT_NE(writer.status().error->find("too full"), std::string::npos);
    EXPECT_EQ(saved(), 1u);
    push(ring, 10);
    stop(ring, 3);
    ASSERT_TRUE(eventually([&] { return writer.status().lost == 1; })) << "the newer one waits now";
}

TEST_F(EvidenceTest, WhatCouldNotBeWrittenIsTriedAgain) {
    EvidenceRing ring = open();
    std::ofstream(files_) << "a file in its place";
    const EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 5});
    stop(ring, 1);
    ASSERT_TRUE(eventually([&] { return writer.status().error.has_value(); }));
    fs::remove(files_);
    ASSERT_TRUE(eventually([&] { return writer.status().saved == 1; }));
    EXPECT_FALSE(writer.status().error);
}

TEST_F(EvidenceTest, OverwrittenStopIsCountedAsLost) {
    EvidenceRing ring = open();
    stop(ring, 1, static_cast<int>(kEvidenceEntries) + 1);
    const EvidenceWriter writer(robot_, ring, mailbox_, files_, 0, {.max_files = 5});
    ASSERT_TRUE(eventually([&] { return writer.status().lost == 1; }));
    EXPECT_TRUE(writer.status().error);
    EXPECT_EQ(saved(), 0u);
}

}  // namespace
}  // namespace holdfast::safety
