// Set-points from outside: what is taken, what is refused, and what a controller reads of them when they grow
// old.
#include "core/operator_inputs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "core/readable_state.hpp"

namespace holdfast::core {
namespace {

using nlohmann::json;

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kNow = 1'000'000 * kMs;

RobotConfig base() {
    RobotConfig config;
    config.states.resize(2);
    config.inputs = {{.name = "forward", .unit = "m/s", .limits = {-1.0, 1.0}, .max_age_ns = 200 * kMs},
                     {.name = "turn", .unit = "rad/s", .limits = {-2.0, 2.0}, .max_age_ns = 200 * kMs}};
    return config;
}

class InputsTest : public testing::Test {
  protected:
    json take(const json& values, std::int64_t sampled_ns = kNow, std::int64_t now_ns = kNow) {
        return inputs.take({{"op", "input"}, {"values", values}, {"mono_ns", sampled_ns}}, now_ns);
    }
    // What state.get(2) and state.get(3) read.
    std::span<const double> read(std::int64_t now_ns) {
        return readable.of(snapshot, exchange->inputs.latest(), now_ns, exchange->counters).subspan(2);
    }
    [[nodiscard]] std::uint64_t counted(shm::Counter counter) const {
        return exchange->counters.get(counter);
    }

    RobotConfig config = base();
    std::unique_ptr<Exchange> exchange = std::make_unique<Exchange>();
    OperatorInputs inputs{config, *exchange};
    ReadableState readable{config};
    StateSnapshot snapshot;
};

TEST_F(InputsTest, AreReadAfterTheStates) {
    snapshot.state[0] = 0.25;
    snapshot.state[1] = -0.25;
    ASSERT_EQ(take({{"forward", 0.5}, {"turn", -1.5}})["ok"], true);
    const auto seen = readable.of(snapshot, exchange->inputs.latest(), kNow, exchange->counters);
    EXPECT_EQ(std::vector<double>(seen.begin(), seen.end()), (std::vector<double>{0.25, -0.25, 0.5, -1.5}));
    EXPECT_EQ(counted(shm::Counter::kInputStale), 0u);
}

TEST_F(InputsTest, ReadNanUntilSomebodyAsks) {
    EXPECT_TRUE(std::isnan(read(kNow)[0]));
    EXPECT_TRUE(std::isnan(read(kNow)[1]));
    EXPECT_EQ(counted(shm::Counter::kInputStale), 4u);
}

// Rule 6: the operator is gone.
TEST_F(InputsTest, ReadNanBeyondTheirAgeAndAreCounted) {
    ASSERT_EQ(take({{"forward", 0.5}})["ok"], true);
    EXPECT_EQ(read(kNow + 200 * kMs)[0], 0.5);
    EXPECT_TRUE(std::isnan(read(kNow + 200 * kMs + 1)[0]));
    EXPECT_TRUE(inputs.status(kNow + 201 * kMs)["forward"]["fresh"] == false);
}

TEST_F(InputsTest, AgeCountsFromTheSampleAndNotFromItsArrival) {
    ASSERT_EQ(take({{"forward", 0.5}}, kNow - 150 * kMs)["ok"], true);
    EXPECT_EQ(read(kNow + 50 * kMs)[0], 0.5);
    EXPECT_TRUE(std::isnan(read(kNow + 51 * kMs)[0]));
}

TEST_F(InputsTest, EachGrowsOldByItself) {
    ASSERT_EQ(take({{"forward", 0.5}}, kNow - 190 * kMs)["ok"], true);
    ASSERT_EQ(take({{"turn", 1.0}})["ok"], true);
    EXPECT_TRUE(std::isnan(read(kNow + 100 * kMs)[0]));
    EXPECT_EQ(read(kNow + 100 * kMs)[1], 1.0);
}

// A message that overtook another does not come back as the newer wish.
TEST_F(InputsTest, OlderSampleIsRefusedBesideANewerOne) {
    ASSERT_EQ(take({{"forward", 0.0}}, kNow)["ok"], true);
    const json late = take({{"forward", 0.9}}, kNow - 50 * kMs);
    EXPECT_EQ(late["ok"], false);
    EXPECT_NE(late["error"].get<std::string>().find("only one sender may steer"), std::string::npos) << late;
    EXPECT_EQ(read(kNow)[0], 0.0);
}

struct Refusal {
    const char* name;
    json values;
    std::int64_t sampled_ns;
    const char* words;
};
class RefusedInputs : public InputsTest, public testing::WithParamInterface<Refusal> {};

TEST_P(RefusedInputs, TakeNothingAndAreCounted) {
    ASSERT_EQ(take({{"forward", 0.1}, {"turn", 0.1}})["ok"], true);
    const json reply = take(GetParam().values, GetParam().sampled_ns, kNow + kMs);
    EXPECT_EQ(reply["ok"], false);
    EXPECT_NE(reply["error"].get<std::string>().find(GetParam().words), std::string::npos) << reply;
    EXPECT_EQ(read(kNow)[0], 0.1);
    EXPECT_EQ(read(kNow)[1], 0.1);
    EXPECT_EQ(counted(shm::Counter::kInputRefused), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, RefusedInputs,
    testing::Values(
        Refusal{"above_its_limit", {{"turn", 0.5}, {"forward", 1.1}}, kNow, "outside [-1.0, 1.0]"},
        Refusal{"below_its_limit", {{"forward", -1.1}}, kNow, "outside"},
        Refusal{"unknown", {{"forward", 0.5}, {"up", 0.5}}, kNow, "no [[input]] named \"up\""},
        Refusal{"not_a_number", {{"forward", "fast"}}, kNow, "finite number"},
        Refusal{"not_an_object", json::array({0.5}), kNow, "\"values\""},
        Refusal{"too_old", {{"forward", 0.5}}, kNow - 200 * kMs, "may be 200.0 ms"},
        Refusal{"of_the_future", {{"forward", 0.5}}, kNow + 2 * kMs, "no time that has passed"},
        Refusal{"of_no_time",
                {{"forward", 0.5}},
                std::numeric_limits<std::int64_t>::min(),
                "no time that has passed"}),
    [](const testing::TestParamInfo<Refusal>& refusal) { return refusal.param.name; });

TEST_F(InputsTest, RefusesWithoutATime) {
    const json reply = inputs.take({{"op", "input"}, {"values", {{"forward", 0.1}}}}, kNow);
    EXPECT_EQ(reply["ok"], false);
    EXPECT_NE(reply["error"].get<std::string>().find("mono_ns"), std::string::npos);
}

TEST_F(InputsTest, StatusShowsValueAndAge) {
    ASSERT_EQ(take({{"forward", 0.5}})["ok"], true);
    const json status = inputs.status(kNow + 100 * kMs);
    EXPECT_EQ(status["forward"]["value"], 0.5);
    EXPECT_EQ(status["forward"]["age_ms"], 100.0);
    EXPECT_EQ(status["forward"]["fresh"], true);
    EXPECT_EQ(status["turn"]["value"], nullptr);
    EXPECT_EQ(status["turn"]["fresh"], false);
}

}  // namespace
}  // namespace holdfast::core
