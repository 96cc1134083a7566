#include "safety/record.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>

#include "temporary_directory.hpp"

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

const LatchRecord kStopped{.latch_sequence = 7,
                           .last_sequence = 7,
                           .cause = shm::StopCause::kWorkerLost,
                           .reason = "the \"worker\" fell silent",
                           .since = "2026-01-02T03:04:05Z"};

std::string content(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
}

class Record : public testing::Test {
  protected:
    void write(const std::string& text) { std::ofstream(file_) << text; }
    void expect_saved(const LatchRecord& record) {
        const auto saved = save_record(file_, record);
        ASSERT_TRUE(saved) << saved.error().message;
    }
    void expect_damage(const std::string& what) {
        const auto loaded = load_record(file_);
        ASSERT_TRUE(loaded.damage) << what;
        EXPECT_GE(loaded.record.last_sequence, 1'700'000'000u);  // seconds: above any number that was counted
    }

    TemporaryDirectory directory_;
    fs::path file_ = directory_.path() / "safety" / "estop.json";
};

TEST_F(Record, RobotThatNeverStoppedHasNoFile) {
    const auto loaded = load_record(file_);
    EXPECT_FALSE(loaded.damage);
    EXPECT_EQ(loaded.record.latch_sequence, 0u);
    EXPECT_EQ(loaded.record.last_sequence, 0u);
    EXPECT_TRUE(fs::is_directory(file_.parent_path()));
}

TEST_F(Record, WhatIsSavedIsLoaded) {
    expect_saved(kStopped);
    const auto loaded = load_record(file_);
    ASSERT_FALSE(loaded.damage) << *loaded.damage;
    EXPECT_EQ(loaded.record.latch_sequence, kStopped.latch_sequence);
    EXPECT_EQ(loaded.record.last_sequence, kStopped.last_sequence);
    EXPECT_EQ(loaded.record.cause, kStopped.cause);
    EXPECT_EQ(loaded.record.reason, kStopped.reason);
    EXPECT_EQ(loaded.record.since, kStopped.since);
}

TEST_F(Record, NumberOfTheLastStopIsKeptAfterAReset) {
    expect_saved(kStopped);
    expect_saved({.latch_sequence = 0, .last_sequence = 7, .cause = {}, .reason = {}, .since = {}});
    const auto loaded = load_record(file_);
    EXPECT_FALSE(loaded.damage);
    EXPECT_EQ(loaded.record.latch_sequence, 0u);
    EXPECT_EQ(loaded.record.last_sequence, 7u);
}

TEST_F(Record, ReasonThatIsNotUtf8IsStillSaved) {
    LatchRecord record = kStopped;
    record.reason = "\xFF\xFE cut \xC3";
    expect_saved(record);
    EXPECT_FALSE(load_record(file_).damage);
}

TEST_F(Record, EveryTruncationIsDamage) {
    expect_saved(kStopped);
    const std::string text = content(file_);
    for (std::size_t size = 0; size < text.size(); ++size) {
        write(text.substr(0, size));
        expect_damage("cut to " + std::to_string(size));
    }
}

TEST_F(Record, EveryFlippedBitIsDamage) {
    expect_saved(kStopped);
    const std::string text = content(file_);
    for (std::size_t i = 0; i < text.size() * 8; ++i) {
        std::string flipped = text;
        flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
        write(flipped);
        expect_damage(flipped);
    }
}

TEST_F(Record, ForeignFilesAreDamage) {
    fs::create_directories(file_.parent_path());
    for (const char* text :
         {"", "\n", "{}", "[]", "null", "{\"latch_sequence\":0}", "\xFF", "{\"checksum\":1}"}) {
        write(text);
        expect_damage(text);
    }
    write(std::string(1'000'000, '{'));
    expect_damage("huge");
}

// Hazard: a file that the daemon cannot survive, so that it never starts again.
TEST_F(Record, DeepNestingIsDamageAndNoOverflow) {
    expect_saved(kStopped);
    write(R"({"checksum":"0","a":)" + std::string(30'000, '[') + std::string(30'000, ']') + "}");
    expect_damage("nested");
}

TEST_F(Record, RecordThatContradictsItselfIsDamage) {
    for (const auto& record : {LatchRecord{.latch_sequence = 8,
                                           .last_sequence = 7,
                                           .cause = shm::StopCause::kOperator,
                                           .reason = {},
                                           .since = {}},
                               LatchRecord{.latch_sequence = 7,
                                           .last_sequence = 7,
                                           .cause = shm::StopCause::kNone,
                                           .reason = {},
                                           .since = {}},
                               LatchRecord{.latch_sequence = 0,
                                           .last_sequence = 7,
                                           .cause = shm::StopCause::kOperator,
                                           .reason = {},
                                           .since = {}}}) {
        expect_saved(record);
        expect_damage("contradiction");
    }
}

TEST_F(Record, DamagedFileIsKeptUntilANewOneReplacesItAndBesideItAfter) {
    fs::create_directories(file_.parent_path());
    write("damaged");
    expect_damage("text");
    EXPECT_EQ(content(file_), "damaged");  // a crash now still finds a stop
    expect_saved(kStopped);
    EXPECT_EQ(content(file_.string() + ".damaged"), "damaged");
}

TEST_F(Record, DirectoryInPlaceOfTheFileIsDamage) {
    fs::create_directories(file_);
    expect_damage("directory");
    EXPECT_FALSE(save_record(file_, kStopped));
}

TEST_F(Record, DirectoryThatCannotBeMadeIsDamageAndNamed) {
    std::ofstream(directory_.path() / "safety") << "a file in its place";
    const auto loaded = load_record(file_);
    ASSERT_TRUE(loaded.damage);
    EXPECT_NE(loaded.damage->find("cannot be created"), std::string::npos) << *loaded.damage;
    const auto saved = save_record(file_, kStopped);
    ASSERT_FALSE(saved);
    EXPECT_NE(saved.error().message.find((directory_.path() / "safety").string()), std::string::npos);
}

TEST_F(Record, MissingDirectoryIsMadeWhenSaving) {
    expect_saved(kStopped);
    fs::remove_all(file_.parent_path());
    expect_saved(kStopped);
}

TEST_F(Record, FullDiskIsSaidAndLeavesTheOldRecord) {
    expect_saved(kStopped);
    fs::create_symlink("/dev/full", file_.string() + ".tmp");
    const auto saved =
        save_record(file_, {.latch_sequence = 0, .last_sequence = 7, .cause = {}, .reason = {}, .since = {}});
    ASSERT_FALSE(saved);
    EXPECT_NE(saved.error().message.find("No space left on device; free space"), std::string::npos)
        << saved.error().message;
    EXPECT_EQ(load_record(file_).record.latch_sequence, 7u);
    EXPECT_FALSE(fs::exists(fs::symlink_status(file_.string() + ".tmp")));  // nothing half-written stays
}

}  // namespace
}  // namespace holdfast::safety
