// A segment is read whole or not at all, and only by who knows its layout.
#include "shm/segment.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <thread>

namespace holdfast::shm {
namespace {

template <typename Segment>
Reader<Segment> reader_of(const Writer<Segment>& writer) {
    return std::move(*Reader<Segment>::map(FileDescriptor(dup(writer.fd()))));
}

// A sealed segment that claims to be something.
FileDescriptor forged(std::size_t bytes, const Header& header, bool sealed = true) {
    FileDescriptor fd(memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(pwrite(fd.get(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
    if (sealed && fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) ADD_FAILURE();
    return fd;
}

TEST(Segment, GivesWhatWasPublished) {
    auto writer = std::move(*Writer<StateSegment>::create());
    const auto reader = reader_of(writer);
    StateData data{};
    ASSERT_TRUE(reader.read(data));
    EXPECT_EQ(data.cycle, 0u);
    data.cycle = 7;
    data.mode = Mode::kArmed;
    data.sent[kMaxCommandChannels - 1] = 1.5;
    writer.publish(data);
    StateData seen{};
    ASSERT_TRUE(reader.read(seen));
    EXPECT_EQ(std::memcmp(&seen, &data, sizeof data), 0);
}

TEST(Segment, IsNeverTornUnderAConcurrentWriter) {
    auto writer = std::move(*Writer<StateSegment>::create());
    const auto reader = reader_of(writer);
    constexpr std::uint64_t kLast = 20'000;
    std::atomic<bool> done{false};
    std::thread thread([&] {
        StateData data{};
        for (std::uint64_t i = 1; i <= kLast; ++i) {
            data.boot_id = i;
            data.counters.fill(i);
            data.sent.fill(static_cast<double>(i));
            writer.publish(data);
        }
        done = true;
    });
    StateData data{};
    std::uint64_t last = 0;
    bool finished = false;
    while (!finished) {
        finished = done;
        if (!reader.read(data)) continue;
        ASSERT_GE(data.boot_id, last);
        last = data.boot_id;
        for (const std::uint64_t counter : data.counters) ASSERT_EQ(counter, data.boot_id);
        for (const double sent : data.sent) ASSERT_EQ(sent, static_cast<double>(data.boot_id));
    }
    EXPECT_TRUE(reader.read(data));
    EXPECT_EQ(data.boot_id, kLast);
    thread.join();
}

TEST(Segment, OfAWriterThatDiedHalfWayKeepsTheOldSample) {
    auto writer = std::move(*Writer<SafetySegment>::create());
    const auto reader = reader_of(writer);
    SafetyData data{};
    data.beat = 3;
    writer.publish(data);
    writer.segment().sequence.fetch_add(1);
    writer.segment().data.beat = 4;
    EXPECT_FALSE(reader.read(data));
    EXPECT_EQ(data.beat, 3u);
}

TEST(Segment, CannotBeMappedWritableByWhoGetsIt) {
    const auto writer = std::move(*Writer<StateSegment>::create());
    EXPECT_EQ(mmap(nullptr, sizeof(StateSegment), PROT_READ | PROT_WRITE, MAP_SHARED, writer.fd(), 0),
              MAP_FAILED);
    EXPECT_NE(ftruncate(writer.fd(), 10), 0);
    EXPECT_LT(write(writer.fd(), "x", 1), 0);
}

TEST(Segment, OutlivesItsWriter) {
    auto writer = std::make_unique<Writer<SafetySegment>>(std::move(*Writer<SafetySegment>::create()));
    const auto reader = reader_of(*writer);
    SafetyData data{};
    data.beat = 9;
    writer->publish(data);
    writer.reset();
    data = {};
    ASSERT_TRUE(reader.read(data));
    EXPECT_EQ(data.beat, 9u);
}

struct Refusal {
    const char* name;
    std::size_t bytes;
    Header header;
    bool sealed;
    const char* expected;
};
class RefusedSegment : public testing::TestWithParam<Refusal> {};
TEST_P(RefusedSegment, WithASentence) {
    const auto reader =
        Reader<StateSegment>::map(forged(GetParam().bytes, GetParam().header, GetParam().sealed));
    ASSERT_FALSE(reader);
    EXPECT_NE(reader.error().message.find(GetParam().expected), std::string::npos) << reader.error().message;
}
constexpr Header kGood{kStateMagic, kLayoutVersion, sizeof(StateSegment)};
INSTANTIATE_TEST_SUITE_P(
    Segment, RefusedSegment,
    testing::Values(
        Refusal{"magic", sizeof(StateSegment), {kSafetyMagic, kLayoutVersion, kGood.size}, true, "magic"},
        Refusal{"version",
                sizeof(StateSegment),
                {kStateMagic, kLayoutVersion + 1, kGood.size},
                true,
                "version 3"},
        Refusal{"header_size", sizeof(StateSegment), {kStateMagic, kLayoutVersion, 8}, true, "header says 8"},
        Refusal{"file_size", 4096, kGood, true, "has 4096 bytes"},
        Refusal{"not_sealed", sizeof(StateSegment), kGood, false, "sealed"}),
    [](const auto& refusal) { return std::string(refusal.param.name); });

TEST(Segment, RefusesAnOrdinaryFileAndNoFile) {
    EXPECT_FALSE(Reader<StateSegment>::map(FileDescriptor(open("/dev/null", O_RDONLY))));
    EXPECT_FALSE(Reader<StateSegment>::map(FileDescriptor()));
}

}  // namespace
}  // namespace holdfast::shm
