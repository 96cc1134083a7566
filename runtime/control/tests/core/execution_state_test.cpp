// The table of the execution state machine against every pair of state and event, and the document drawn from
// it.
#include "core/execution_state.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "shm/names.hpp"

namespace holdfast::core {
namespace {

using On = ExecutionEvent;
using State = ExecutionState;
using Row = std::map<On, State>;

// Written down a second time, by state: a change of the table has to be meant.
const std::map<State, Row>& expected() {
    static const std::map<State, Row> rows{
        {State::kDisarmed,
         {{On::kArm, State::kArmed},
          {On::kStop, State::kDisarmed},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kArmed,
         {{On::kReady, State::kRunning},
          {On::kPause, State::kPaused},
          {On::kStop, State::kStopping},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kRunning,
         {{On::kHold, State::kHolding},
          {On::kPause, State::kPaused},
          {On::kStop, State::kStopping},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kPaused,
         {{On::kPause, State::kPaused},
          {On::kResume, State::kArmed},
          {On::kStop, State::kStopping},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kHolding,
         {{On::kFollow, State::kRunning},
          {On::kPause, State::kPaused},
          {On::kStop, State::kStopping},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kStopping,
         {{On::kStandstill, State::kDisarmed},
          {On::kStop, State::kStopping},
          {On::kEstop, State::kEstop},
          {On::kFault, State::kFault}}},
        {State::kEstop,
         {{On::kStop, State::kEstop}, {On::kEstop, State::kEstop}, {On::kEstopCleared, State::kStopping}}},
        {State::kFault,
         {{On::kStop, State::kFault}, {On::kEstop, State::kEstop}, {On::kFaultCleared, State::kStopping}}},
    };
    return rows;
}

class EveryPair : public testing::TestWithParam<std::tuple<State, On>> {};
TEST_P(EveryPair, LeadsWhereItMustOrIsRefusedInASentence) {
    const auto& [state, event] = GetParam();
    const Row& row = expected().at(state);
    const auto next = next_state(state, event);
    const auto wanted = row.find(event);
    ASSERT_EQ(next.has_value(), wanted != row.end()) << shm::name_of(state) << ", " << name_of(event);
    if (next) {
        EXPECT_EQ(*next, wanted->second) << shm::name_of(state) << ", " << name_of(event);
        return;
    }
    const std::string sentence = refusal(state, event);
    EXPECT_EQ(sentence.find(std::string(name_of(event)) + ": not possible while the robot is " +
                            std::string(shm::name_of(state)) + "; "),
              0u)
        << sentence;
    EXPECT_GT(sentence.size() - sentence.find("; "), 10u) << "says no way out: " << sentence;
}
INSTANTIATE_TEST_SUITE_P(All, EveryPair,
                         testing::Combine(testing::ValuesIn(kExecutionStates),
                                          testing::ValuesIn(kExecutionEvents)));

TEST(ExecutionStates, EachCanBeReachedAndLeft) {
    std::set<State> reached{State::kDisarmed};
    for (std::size_t round = 0; round < kExecutionStates.size(); ++round) {
        for (const Transition& row : kTransitions) {
            if (reached.contains(row.from)) reached.insert(row.to);
        }
    }
    EXPECT_EQ(reached.size(), kExecutionStates.size());
    for (const State state : kExecutionStates) {
        EXPECT_TRUE(std::any_of(kTransitions.begin(), kTransitions.end(), [=](const Transition& row) {
            return row.from == state && row.to != state;
        })) << shm::name_of(state);
    }
}

// Rule 3: from wherever a stop or a fault left it, only `arm` leads to motion.
TEST(ExecutionStates, NothingButArmLeadsFromAStopToMotion) {
    std::set<State> reached{State::kEstop, State::kFault, State::kStopping, State::kDisarmed};
    for (std::size_t round = 0; round < kExecutionStates.size(); ++round) {
        for (const Transition& row : kTransitions) {
            if (reached.contains(row.from) && row.event != On::kArm) reached.insert(row.to);
        }
    }
    EXPECT_EQ(std::count_if(reached.begin(), reached.end(), [](State s) { return shm::is_armed(s); }), 0);
}

TEST(ExecutionStates, EachHasANameThatOthersSee) {
    std::set<std::string_view> names;
    for (const State state : kExecutionStates) names.insert(shm::name_of(state));
    EXPECT_EQ(names.size(), kExecutionStates.size());
    EXPECT_FALSE(names.contains("unknown"));
}

TEST(ExecutionStates, AreDrawnInTheDocumentFromThisTable) {
    std::ifstream file(HOLDFAST_REPOSITORY "/docs/architecture.md");
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_NE(text.str().find(describe_states()), std::string::npos)
        << "docs/architecture.md differs: put the output of `holdfast-control --print-states` in there";
}

}  // namespace
}  // namespace holdfast::core
