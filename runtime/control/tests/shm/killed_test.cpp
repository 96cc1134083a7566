// Writers and readers die by SIGKILL at random moments. What they leave is read whole or not at all, and
// nobody who is left notices. The seed is printed; HOLDFAST_SEED repeats it.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <random>

#include "shm/segment.hpp"

namespace holdfast::shm {
namespace {

constexpr int kRounds = 300;

// What the processes of one round say to each other, in memory that all of them write.
struct Board {
    std::atomic<std::uint64_t> published{0};
    std::atomic<std::uint64_t> taken{0};  // by the readers
    std::atomic<std::uint64_t> torn{0};
};

class Shared {
  public:
    Shared()
        : memory_(::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
          board_(new (memory_) Board) {}
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { ::munmap(memory_, sizeof(Board)); }
    Board* operator->() { return board_; }

  private:
    void* memory_;
    Board* board_;
};

StateData sample_of(std::uint64_t number) {
    StateData data{};
    data.boot_id = data.cycle = number;
    data.counters.fill(number);
    data.sent.fill(static_cast<double>(number));
    return data;
}

bool is_whole(const StateData& data) {
    const StateData expected = sample_of(data.cycle);
    return std::memcmp(&expected, &data, sizeof data) == 0;
}

template <typename Work>
pid_t child(Work work) {
    const pid_t process = ::fork();
    if (process != 0) return process;
    for (;;) work();
}

void kill_and_reap(pid_t process) {
    ASSERT_EQ(::kill(process, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(process, &status, 0), process);
    ASSERT_TRUE(WIFSIGNALED(status));
}

std::uint32_t seed() {
    const char* given = std::getenv("HOLDFAST_SEED");
    const std::uint32_t chosen = given != nullptr
                                     ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
    std::cout << "HOLDFAST_SEED=" << chosen << "\n";
    return chosen;
}

class Killed : public testing::Test {
  protected:
    Writer<StateSegment> writer = std::move(*Writer<StateSegment>::create());
    Reader<StateSegment> reader = std::move(*Reader<StateSegment>::map(FileDescriptor(::dup(writer.fd()))));
    Shared board;

    pid_t start_writer() {
        std::uint64_t number = 0;
        return child([this, number]() mutable {
            writer.publish(sample_of(++number));
            board->published.store(number);
        });
    }
    pid_t start_reader() {
        return child([this] {
            StateData data{};
            if (!reader.read(data)) return;
            board->taken.fetch_add(1);
            if (!is_whole(data)) board->torn.fetch_add(1);
        });
    }
    // Until the others have got this far: a random moment, and never a matter of time.
    void wait_for(const std::atomic<std::uint64_t>& count, std::uint64_t at_least) {
        while (count.load() < at_least) ::sched_yield();
    }
};

TEST(KilledAtRandom, AWriterLeavesAWholeSampleOrNone) {
    std::mt19937 random(seed());
    int left_half_way = 0;
    for (int round = 0; round < kRounds; ++round) {
        auto writer = std::move(*Writer<StateSegment>::create());
        const auto reader = std::move(*Reader<StateSegment>::map(FileDescriptor(::dup(writer.fd()))));
        Shared board;
        std::uint64_t number = 0;
        const pid_t process = child([&] {
            writer.publish(sample_of(++number));
            board->published.store(number);
        });
        const std::uint64_t moment = std::uniform_int_distribution<std::uint64_t>(1, 200)(random);
        StateData data = sample_of(0);
        std::uint64_t last = 0;
        while (board->published.load() < moment) {
            if (!reader.read(data)) continue;
            ASSERT_TRUE(is_whole(data));
            ASSERT_GE(data.cycle, last);
            last = data.cycle;
        }
        // Some more stores, somewhere within a sample.
        for (volatile unsigned spin = std::uniform_int_distribution<unsigned>(0, 2'000)(random); spin > 0;)
            spin = spin - 1;
        ASSERT_NO_FATAL_FAILURE(kill_and_reap(process));
        const StateData kept = data;
        const bool half_way = writer.segment().sequence.load() % 2 != 0;
        left_half_way += half_way ? 1 : 0;
        ASSERT_EQ(reader.read(data), !half_way);
        if (half_way) {
            ASSERT_EQ(std::memcmp(&data, &kept, sizeof data), 0) << "a refused read changed the old sample";
        } else {
            ASSERT_TRUE(is_whole(data));
            ASSERT_GE(data.cycle, board->published.load());
        }
    }
    EXPECT_GT(left_half_way, 0) << "no writer died within a sample: this run proved little";
}

TEST_F(Killed, ReadersThatDieOrStandStillHoldUpNobody) {
    std::mt19937 random(seed());
    const pid_t writing = start_writer();
    const pid_t standing = start_reader();
    wait_for(board->taken, 1);
    ASSERT_EQ(::kill(standing, SIGSTOP), 0);  // somewhere within a read
    for (int round = 0; round < kRounds; ++round) {
        const pid_t process = start_reader();
        const std::uint64_t moment =
            board->taken.load() + std::uniform_int_distribution<std::uint64_t>(1, 100)(random);
        wait_for(board->taken, moment);
        ASSERT_NO_FATAL_FAILURE(kill_and_reap(process));
        wait_for(board->published, board->published.load() + 100);  // the writer goes on
    }
    ASSERT_NO_FATAL_FAILURE(kill_and_reap(standing));
    ASSERT_NO_FATAL_FAILURE(kill_and_reap(writing));
    EXPECT_EQ(board->torn.load(), 0u);
}

}  // namespace
}  // namespace holdfast::shm
