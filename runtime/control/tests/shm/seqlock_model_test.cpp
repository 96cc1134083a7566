// Every execution that the C++ memory model allows of seqlock.hpp itself, for a few words and samples: no
// reader ever takes a torn sample, or an older one than before, whenever the writer dies. And each memory
// order is needed.
#include <gtest/gtest.h>

#include "memory_model.hpp"

namespace holdfast::shm {
namespace {

constexpr Word kSamples = 3;
constexpr int kStoresOfASample = 2 + static_cast<int>(kModelWords);
constexpr int kAttempts = 1;  // a retry is one more read

using Sample = std::array<Word, kModelWords>;

Sample sample_of(Word number) {
    Sample sample;
    for (std::size_t i = 0; i < kModelWords; ++i) sample[i] = 100 * number + i;
    return sample;
}

// All that the writer did until it was killed after `stores` stores.
History written(Orders orders, int stores) {
    History history;
    for (auto& place : history) place.push_back({});
    for (std::size_t i = 0; i < kModelWords; ++i) history[1 + i].back().value = sample_of(0)[i];
    ModelWriter writer(history, orders, stores);
    for (Word number = 1; number <= kSamples; ++number)
        seqlock_write(writer, sample_of(number).data(), kModelWords);
    return history;
}

struct Found {
    std::uint64_t executions{};
    std::uint64_t taken{};
    std::uint64_t torn{};
    std::uint64_t older{};  // than a sample taken before
    std::uint64_t newest{};
};

// Two reads in a row, in every execution.
Found explore(Orders orders, int stores) {
    const History history = written(orders, stores);
    Found found;
    Choices choices;
    do {
        const ModelReader reader(history, orders, choices);
        Word last = 0;
        for (int read = 0; read < 2; ++read) {
            Sample sample;
            if (!seqlock_read(reader, sample.data(), kModelWords, kAttempts)) continue;
            const Word number = sample[0] / 100;
            ++found.taken;
            found.torn += sample != sample_of(number) ? 1 : 0;
            found.older += number < last ? 1 : 0;
            found.newest += number == kSamples ? 1 : 0;
            last = std::max(last, number);
        }
        ++found.executions;
    } while (choices.next());
    return found;
}

TEST(SeqlockModel, NoExecutionGivesATornOrAnOlderSample) {
    std::uint64_t executions = 0;
    for (int stores = 0; stores <= static_cast<int>(kSamples) * kStoresOfASample; ++stores) {
        const Found found = explore({}, stores);
        EXPECT_EQ(found.torn, 0u) << "writer killed after " << stores << " stores";
        EXPECT_EQ(found.older, 0u) << "writer killed after " << stores << " stores";
        EXPECT_GT(found.taken, 0u);
        executions += found.executions;
    }
    EXPECT_GT(explore({}, static_cast<int>(kSamples) * kStoresOfASample).newest, 0u);
    EXPECT_GT(executions, 1'000u);
    RecordProperty("executions", static_cast<int>(executions));
}

struct Weakening {
    const char* name;
    bool Orders::* order;
};
class Weakened : public testing::TestWithParam<Weakening> {};
TEST_P(Weakened, OneOrderLessLetsATornSampleThrough) {
    Orders orders;
    orders.*GetParam().order = false;
    EXPECT_GT(explore(orders, static_cast<int>(kSamples) * kStoresOfASample).torn, 0u);
}
INSTANTIATE_TEST_SUITE_P(SeqlockModel, Weakened,
                         testing::Values(Weakening{"WordStores", &Orders::word_stores_release},
                                         Weakening{"WordLoads", &Orders::word_loads_acquire},
                                         Weakening{"LastStore", &Orders::last_store_releases},
                                         Weakening{"FirstLoad", &Orders::first_load_acquires}),
                         [](const auto& weakening) { return std::string(weakening.param.name); });

// Wait-free: the same number of stores whatever happens, and no load but its own sequence number.
TEST(SeqlockModel, TheWriterNeverWaits) {
    History history;
    for (auto& place : history) place.push_back({});
    ModelWriter writer(history, {}, 1'000);
    seqlock_write(writer, sample_of(1).data(), kModelWords);
    EXPECT_EQ(writer.stores(), kStoresOfASample);
}

}  // namespace
}  // namespace holdfast::shm
