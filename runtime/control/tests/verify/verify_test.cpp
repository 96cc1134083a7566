// Verify refuses what would be refused, clamped or stopped on the robot, and says which tick, channel, value
// and state.
#include "verify/verify.hpp"

#include <chrono>
#include <cmath>

#include "bench_arm.hpp"
#include "workshop.hpp"

namespace holdfast::verify {
namespace {

constexpr std::uint32_t kPatientHz = 1;
constexpr std::uint64_t kSeed = 1;

class Verify : public wasm::Workshop {
  protected:
    Verified<Accepted> examine_source(std::string_view source, const RobotConfig& config, Trace trace = {}) {
        const auto compiled = wasm::compile(*engine, source);
        if (!compiled) return tl::unexpected(rejection_of(compiled.error()));
        const auto file = folder / "candidate.cwasm";
        std::filesystem::remove(file);
        std::ofstream(file, std::ios::binary) << *compiled;
        return verify(engine, config, file, state_sets(config, 100, kSeed, std::move(trace)));
    }
    Verified<Accepted> examine(const std::string& name, const RobotConfig& config = bench_arm(kPatientHz)) {
        return examine_source(wasm::read_text(source_of(name)), config);
    }
};

TEST_F(Verify, AcceptsTheExamples) {
    for (const char* name :
         {"examples/sine", "examples/hold", "examples/constant", "good/every_host_function"}) {
        const auto accepted = examine(name);
        ASSERT_TRUE(accepted) << name << ": " << accepted.error().error;
        EXPECT_EQ(accepted->ticks, 100);
        EXPECT_EQ(accepted->states, (std::vector<std::string>{"zero", "limits.min", "limits.max", "random"}));
        EXPECT_GT(accepted->max_tick_us, 0.0);
    }
}

TEST_F(Verify, NamesTickChannelValueAndLimits) {
    const auto rejected = examine("out_of_limits_from_tick_17");
    ASSERT_FALSE(rejected);
    const Rejection& rejection = rejected.error();
    EXPECT_EQ(rejection.stage, "verify");
    EXPECT_EQ(rejection.tick, 16);
    EXPECT_EQ(rejection.channel, "shoulder_pan");
    EXPECT_DOUBLE_EQ(*rejection.value, 3.2);
    EXPECT_EQ(rejection.state, "zero");
    EXPECT_EQ(rejection.error,
              "verify: tick 16, state set \"zero\": command.set(0 \"shoulder_pan\", 3.2) is outside [-3, 3]; "
              "clamp the value with command.limit_min/limit_max before setting it");
}

TEST_F(Verify, FindsWhatOnlyExtremeStatesShow) {
    const auto rejected = examine("out_of_limits_at_extremes");
    ASSERT_FALSE(rejected);
    EXPECT_EQ(rejected.error().state, "limits.min");
    EXPECT_EQ(rejected.error().tick, 0);
    EXPECT_EQ(*rejected.error().value, -6.4);
}

// A controller that only trips where channel 0 is above `above` and channel 1 below `below`.
std::string trips_where(double above, double below) {
    return R"((module
        (import "state" "get" (func $get (param i32) (result f64)))
        (func (export "process") (param i64)
          (if (i32.and (f64.gt (call $get (i32.const 0)) (f64.const )" +
           std::to_string(above) + R"())
                       (f64.lt (call $get (i32.const 1)) (f64.const )" +
           std::to_string(below) + R"()))
            (then unreachable)))))";
}

std::string state_that_trips(const Verified<Accepted>& result) {
    return result ? "none" : result.error().state.value_or(result.error().error);
}

TEST_F(Verify, ShowsZeroTheLimitsRandomStatesAndTheTrace) {
    const RobotConfig config = bench_arm(kPatientHz);
    const Trace trace{{0.0, 0.0, 0.0, 0.0, 0.0}, {3.19, -2.69, 0.0, 0.0, 0.0}};
    const auto tripped_by = [&](double above, double below) {
        return state_that_trips(examine_source(trips_where(above, below), config, trace));
    };
    EXPECT_EQ(tripped_by(-0.1, 0.1), "zero");
    EXPECT_EQ(tripped_by(-3.3, -2.6), "limits.min");
    EXPECT_EQ(tripped_by(3.1, 2.8), "limits.max");
    EXPECT_EQ(tripped_by(0.5, -0.5), "random");
    EXPECT_EQ(tripped_by(3.15, -2.65), "trace");
    EXPECT_EQ(tripped_by(3.3, 0.0), "none");
}

TEST_F(Verify, RefusesWhatIsNotFinite) {
    const auto nan = examine("not_a_number");
    ASSERT_FALSE(nan);
    EXPECT_EQ(nan.error().channel, "elbow");
    EXPECT_EQ(nan.error().tick, 0);
    EXPECT_TRUE(std::isnan(*nan.error().value));
    EXPECT_NE(nan.error().error.find("command.set(1 \"elbow\", nan) is not finite"), std::string::npos)
        << nan.error().error;
    const auto infinite = examine("infinite");
    ASSERT_FALSE(infinite);
    EXPECT_NE(infinite.error().error.find("command.set(1 \"elbow\", -inf) is not finite"), std::string::npos);
}

TEST_F(Verify, RefusesAChannelThatDoesNotExist) {
    const auto rejected = examine("no_such_channel");
    ASSERT_FALSE(rejected);
    EXPECT_NE(rejected.error().error.find(
                  "command.set(6, ...) names a channel that does not exist; the robot has 6"),
              std::string::npos);
}

TEST_F(Verify, RefusesAnEstopRequest) {
    const auto rejected = examine("estop_request");
    ASSERT_FALSE(rejected);
    EXPECT_NE(rejected.error().error.find("tick 0, state set \"zero\": process called safety.request_estop"),
              std::string::npos);
}

TEST_F(Verify, RefusesTraps) {
    for (const char* name : {"divide_by_zero", "assertion", "deep_recursion", "memory_out_of_bounds"}) {
        const auto rejected = examine(name);
        ASSERT_FALSE(rejected) << name;
        EXPECT_EQ(rejected.error().stage, "verify");
        EXPECT_EQ(rejected.error().tick, 0);
        EXPECT_NE(rejected.error().error.find("tick 0, state set \"zero\": process(0) trapped in function"),
                  std::string::npos)
            << rejected.error().error;
    }
}

TEST_F(Verify, RefusesAnEndlessLoopWhereverItBegins) {
    const auto at_once = examine("endless_loop", bench_arm());
    ASSERT_FALSE(at_once);
    EXPECT_EQ(at_once.error().tick, 0);
    const auto later = examine("endless_from_tick_17", bench_arm());
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().tick, 17);
    EXPECT_NE(later.error().error.find("process(17) was interrupted in function `spin`"), std::string::npos)
        << later.error().error;
}

// Works until a moment of the wall clock, then no more: late at first, as on a busy machine, and not when
// tried again.
std::string busy_for(std::chrono::milliseconds time) {
    const auto end = std::chrono::system_clock::now().time_since_epoch() + time;
    return R"((module
        (import "timing" "now_ns" (func $now_ns (result i64)))
        (func (export "process") (param i64)
          (loop $again (br_if $again (i64.lt_s (call $now_ns) (i64.const )" +
           std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(end).count()) + ")))))) ";
}

TEST_F(Verify, AnInterruptedTickIsTriedAgain) {
    const auto accepted = examine_source(busy_for(std::chrono::milliseconds(200)), bench_arm(10));
    EXPECT_TRUE(accepted) << accepted.error().error;
}

TEST_F(Verify, ATickThatCameBackLateIsTriedAgain) {
    timer.reset();  // nothing interrupts it
    const auto accepted = examine_source(busy_for(std::chrono::milliseconds(300)), bench_arm(10));
    EXPECT_TRUE(accepted) << accepted.error().error;
}

TEST_F(Verify, GivesTheStageOfWhatFailsBefore) {
    const auto stage_of = [&](const std::string& name) { return examine(name, bench_arm()).error().stage; };
    EXPECT_EQ(stage_of("broken_syntax"), "compile");
    EXPECT_EQ(stage_of("no_process"), "link");
    EXPECT_EQ(stage_of("unknown_import"), "link");
    EXPECT_EQ(stage_of("memory_of_17_mib"), "instantiate");
    EXPECT_EQ(stage_of("start_is_endless"), "instantiate");
}

TEST_F(Verify, EachStateSetBeginsWithAFreshController) {
    const auto accepted = examine_source(R"((module
        (global $ticks (mut i64) (i64.const 0))
        (func (export "process") (param $tick i64)
          (if (i64.ne (local.get $tick) (global.get $ticks)) (then unreachable))
          (global.set $ticks (i64.add (global.get $ticks) (i64.const 1))))))",
                                         bench_arm(kPatientHz));
    EXPECT_TRUE(accepted) << accepted.error().error;
}

TEST_F(Verify, TellsWhatTheShieldHadToChange) {
    const auto quiet = examine("examples/hold");
    ASSERT_TRUE(quiet);
    EXPECT_EQ(quiet->shield.rate_limited, 0u);
    const auto step = examine_source(R"((module
        (import "command" "set" (func $set (param i32 f64) (result i32)))
        (func (export "process") (param $tick i64)
          (drop (call $set (i32.const 4) (f64.const 20))))))",
                                     bench_arm(kPatientHz));
    ASSERT_TRUE(step);
    EXPECT_GT(step->shield.rate_limited, 0u);
    const auto into_the_end = examine_source(R"((module
        (import "command" "set" (func $set (param i32 f64) (result i32)))
        (func (export "process") (param $tick i64)
          (drop (call $set (i32.const 3) (f64.const 0.5))))))",
                                             bench_arm(kPatientHz));
    ASSERT_TRUE(into_the_end);
    EXPECT_GT(into_the_end->shield.stopping_distance, 0u);
}

TEST(StateSets, RandomStatesAreWithinTheLimitsAndFollowTheSeed) {
    const RobotConfig config = bench_arm();
    const auto row = [&](std::uint64_t seed, std::int64_t tick) {
        const auto sets = state_sets(config, 100, seed, {});
        std::vector<double> state(config.states.size());
        for (std::int64_t i = 0; i <= tick; ++i) sets[3].fill(i, state);
        return state;
    };
    EXPECT_EQ(row(7, 40), row(7, 40));
    EXPECT_NE(row(7, 40), row(8, 40));
    EXPECT_NE(row(7, 40), row(7, 41));
    for (std::int64_t tick = 0; tick < 100; ++tick) {
        const auto state = row(7, tick);
        for (std::size_t i = 0; i < state.size(); ++i) {
            ASSERT_GE(state[i], config.states[i].limits.min);
            ASSERT_LE(state[i], config.states[i].limits.max);
        }
    }
}

TEST(StateSets, ALongTraceShowsItsLastRows) {
    Trace trace;
    for (int i = 0; i < 250; ++i) trace.emplace_back(5, i);
    const auto sets = state_sets(bench_arm(), 100, kSeed, trace);
    ASSERT_EQ(sets.back().name, "trace");
    EXPECT_EQ(sets.back().ticks, 100);
    std::vector<double> state(5);
    sets.back().fill(0, state);
    EXPECT_EQ(state[0], 150.0);
    sets.back().fill(99, state);
    EXPECT_EQ(state[0], 249.0);
}

RobotConfig teleoperated() {
    RobotConfig config = bench_arm(kPatientHz);
    config.inputs = {{.name = "forward", .unit = "m/s", .limits = {-0.4, 0.4}, .max_age_ns = 200'000'000}};
    return config;
}

// Rule 6: a controller that hands on what an operator who is gone asked for.
TEST_F(Verify, ShowsInputsAtTheirLimitsAndTooOld) {
    const auto blind = examine_source(R"((module
        (import "command" "set" (func $set (param i32 f64) (result i32)))
        (import "state" "get" (func $get (param i32) (result f64)))
        (func (export "process") (param i64)
          (drop (call $set (i32.const 3) (call $get (i32.const 5)))))))",
                                      teleoperated());
    ASSERT_FALSE(blind);
    EXPECT_EQ(blind.error().state, "inputs.stale");
    EXPECT_EQ(blind.error().channel, "rail");
    const auto careful = examine_source(R"((module
        (import "command" "set" (func $set (param i32 f64) (result i32)))
        (import "state" "get" (func $get (param i32) (result f64)))
        (import "state" "count" (func $count (result i32)))
        (func (export "process") (param i64) (local $wish f64)
          (if (i32.ne (call $count) (i32.const 6)) (then (unreachable)))
          (local.set $wish (call $get (i32.const 5)))
          (if (f64.ne (local.get $wish) (local.get $wish)) (then (local.set $wish (f64.const 0))))
          (drop (call $set (i32.const 3) (local.get $wish))))))",
                                        teleoperated(), Trace{std::vector<double>(5)});
    ASSERT_TRUE(careful) << careful.error().error;
    EXPECT_EQ(careful->states, (std::vector<std::string>{"zero", "limits.min", "limits.max", "random",
                                                         "inputs.stale", "trace"}));
}

}  // namespace
}  // namespace holdfast::verify
