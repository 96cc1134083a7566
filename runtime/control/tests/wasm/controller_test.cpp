// Good controllers get what DESIGN §3 promises; every bad one gets its sentence, and hurts nobody else.
#include "wasm/controller.hpp"

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "bench_arm.hpp"
#include "rt/clock.hpp"
#include "workshop.hpp"

namespace holdfast::wasm {
namespace {

using ::testing::ValuesIn;

// Where a tick must be kOk its budget is 800 ms: a busy machine is not a slow controller.
constexpr std::uint32_t kPatientHz = 1;

struct Rejected {
    std::string controller;
    std::vector<std::string> sentence;  // what the message must contain, the stage first
};
void PrintTo(const Rejected& row, std::ostream* out) { *out << row.controller; }
std::string name_of(const ::testing::TestParamInfo<Rejected>& info) { return info.param.controller; }

void expect_sentence(const std::string& message, const Rejected& row) {
    EXPECT_TRUE(message.starts_with(row.sentence.front())) << message;
    for (const std::string& part : row.sentence) {
        EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' is not in: " << message;
    }
    EXPECT_NE(message.find("; "), std::string::npos) << "no mend in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

const std::vector<Rejected> kRefused{
    {"broken_syntax", {"compile: line 6, column 1: expected `)`, at the end of the text"}},
    {"unknown_function", {"compile: line 4, column 11: unknown func", "`$swing`", "`(call $swing)))`"}},
    {"type_mismatch", {"compile: ", "ramp", "type mismatch: expected f64, found i64", "offset"}},
    {"simd", {"compile: ", "SIMD support is not enabled"}},
    {"shared_memory", {"compile: ", "threads must be enabled"}},
    {"process_takes_vector", {"compile: ", "SIMD support is not enabled"}},
    {"no_process", {"link: the export `process` is missing", R"((export "process") (param i64))"}},
    {"process_is_a_global", {"link: the export `process` is not a function"}},
    {"process_without_tick", {"link: the export `process` does not have the type (i64) -> ()"}},
    {"process_takes_two", {"link: the export `process` does not have the type (i64) -> ()"}},
    {"process_takes_i32", {"link: the export `process` does not have the type (i64) -> ()"}},
    {"process_with_result", {"link: the export `process` does not have the type (i64) -> ()"}},
    {"unknown_import", {"link: unknown import `env.printf`", "command.set, command.count"}},
    {"imported_memory", {"link: unknown import `env.memory`"}},
    {"wrong_import_type", {"link: the import `command.set` has another type", "(i32, f64) -> (i32)", "f32"}},
    {"host_function_as_global", {"link: the import `state.count` has another type", "() -> (i32)"}},
    {"memory_of_17_mib", {"instantiate: memory minimum size of 272 pages", "16 MiB"}},
    {"table_too_long", {"instantiate: table minimum size of 10001 elements", "10000 elements"}},
    {"too_many_tables", {"instantiate: ", "4 tables"}},
    {"data_out_of_bounds", {"instantiate: ", "memory is accessed out of its bounds"}},
    {"start_is_endless",
     {"instantiate: the start function did not end within 8 ms in function `wait_for_ever`"}},
    {"start_traps", {"instantiate: the module's start trapped in function `check`", "`unreachable`"}},
    {"start_recurses", {"instantiate: the module's start trapped in function `deeper`", "recursion"}},
    {"start_sets_a_command", {"instantiate: the start function sets commands"}},
    {"start_requests_estop", {"instantiate: the start function sets commands or requests an e-stop"}},
};

class Owner : public Workshop {
  protected:
    std::filesystem::path compiled() {
        const auto file = folder / "owned.cwasm";
        std::ofstream(file, std::ios::binary) << *compile(*engine, read_text(source_of("examples/sine")));
        return file;
    }
    void expect_refused(const std::filesystem::path& file) {
        const auto refused = Controller::load(engine, bench_arm(), file);
        ASSERT_FALSE(refused);
        EXPECT_NE(refused.error().message.find("by somebody else than holdfast-verify"), std::string::npos)
            << refused.error().message;
    }
};

// Hazard: a worker that was taken over writes a file of machine code and asks the core to load it.
TEST_F(Owner, CodeThatOthersMayWriteIsNotMapped) {
    const auto file = compiled();
    ASSERT_TRUE(Controller::load(engine, bench_arm(), file));
    for (const mode_t mode : {0664u, 0646u, 0666u}) {
        ASSERT_EQ(::chmod(file.c_str(), mode), 0);
        expect_refused(file);
    }
}

TEST_F(Owner, CodeOfAnotherUserIsNotMapped) {
    const auto file = compiled();
    if (::chown(file.c_str(), 12345, static_cast<gid_t>(-1)) != 0)
        GTEST_SKIP() << "only root gives files away";
    expect_refused(file);
}

class Refused : public Workshop, public ::testing::WithParamInterface<Rejected> {};

TEST_P(Refused, IsNotLoadedAndTheRunningControllerDoesNotNotice) {
    auto running = load("good/every_host_function", bench_arm(kPatientHz));
    ASSERT_TRUE(running) << running.error().message;
    TickOutput output;
    ASSERT_EQ((*running)->tick(0, {}, output), TickResult::kOk);

    const auto refused = load(GetParam().controller, bench_arm());
    ASSERT_FALSE(refused);
    expect_sentence(refused.error().message, GetParam());

    ASSERT_EQ((*running)->tick(1, {}, output), TickResult::kOk);
    EXPECT_EQ(output.metrics[0], 1.0);
    EXPECT_EQ(output.set, 1u);
}

INSTANTIATE_TEST_SUITE_P(Corpus, Refused, ValuesIn(kRefused), name_of);

const std::vector<Rejected> kTrapping{
    {"deep_recursion",
     {"process(3) trapped in function `deeper`", "the call stack is exhausted", "recursion"}},
    {"memory_out_of_bounds", {"process(3) trapped in function `load`", "out of its bounds"}},
    {"memory_at_its_end", {"process(3) trapped in function", "memory is accessed out of its bounds"}},
    {"divide_by_zero", {"process(3) trapped in function `divide`", "divided by zero"}},
    {"integer_overflow", {"process(3) trapped in function", "an integer operation overflows"}},
    {"nan_to_integer", {"process(3) trapped in function", "a NaN is converted to an integer"}},
    {"assertion", {"process(3) trapped in function `panic`", "`unreachable`"}},
    {"empty_table_entry", {"process(3) trapped in function", "an empty table entry"}},
    {"table_out_of_bounds", {"process(3) trapped in function", "a table is accessed out of its bounds"}},
    {"indirect_call_type", {"process(3) trapped in function", "a function of another type"}},
};

class Trapping : public Workshop, public ::testing::WithParamInterface<Rejected> {};

TEST_P(Trapping, IsToldFromAnOverrunAndExplained) {
    const auto controller = load(GetParam().controller, bench_arm(kPatientHz));
    ASSERT_TRUE(controller) << controller.error().message;
    TickOutput output;
    EXPECT_EQ((*controller)->tick(3, {}, output), TickResult::kTrap);
    expect_sentence((*controller)->trap_message(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Corpus, Trapping, ValuesIn(kTrapping), name_of);

class ControllerTest : public Workshop {};

TEST_F(ControllerTest, EveryHostFunctionDoesWhatTheTableSays) {
    const RobotConfig config = bench_arm(kPatientHz);
    const auto controller = load("good/every_host_function", config);
    ASSERT_TRUE(controller) << controller.error().message;
    const std::array<double, 5> state{0.1, 0.2, 0.3, 0.4, 0.5};
    TickOutput output;
    const auto before = std::chrono::system_clock::now().time_since_epoch();
    ASSERT_EQ((*controller)->tick(42, {.state = state, .sim_time_ns = 1234}, output), TickResult::kOk);
    const auto after = std::chrono::system_clock::now().time_since_epoch();

    EXPECT_EQ(output.set, 1u);
    EXPECT_EQ(output.value[0], 0.25);
    ASSERT_EQ(output.metric_count, 11u);
    EXPECT_EQ(output.metrics[0], 42.0);
    EXPECT_EQ(output.metrics[1], 0.0);
    EXPECT_EQ(output.metrics[2], 6.0);
    EXPECT_EQ(output.metrics[3], -3.0);
    EXPECT_EQ(output.metrics[4], 3.0);
    EXPECT_EQ(output.metrics[5], 0.2);
    EXPECT_EQ(output.metrics[6], 5.0);
    EXPECT_DOUBLE_EQ(output.metrics[7], std::sin(0.5));
    EXPECT_DOUBLE_EQ(output.metrics[8], std::cos(0.5));
    const auto nanoseconds = [](auto time) {
        return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
    };
    EXPECT_GE(output.metrics[9], nanoseconds(before) - 1000.0);  // a double holds it to 256 ns
    EXPECT_LE(output.metrics[9], nanoseconds(after) + 1000.0);
    EXPECT_EQ(output.metrics[10], 1234.0);
}

TEST_F(ControllerTest, OddRequestsAreAnsweredAndCounted) {
    const auto controller = load("good/odd_requests", bench_arm(kPatientHz));
    ASSERT_TRUE(controller) << controller.error().message;
    TickOutput output;
    ASSERT_EQ((*controller)->tick(0, {}, output), TickResult::kOk);
    const std::vector<double> answers(output.metrics.begin(), output.metrics.begin() + 6);
    EXPECT_EQ(answers, (std::vector<double>{-1, -1, -1, -1, -2, -2}));
    for (int i = 6; i < 10; ++i) EXPECT_TRUE(std::isnan(output.metrics[static_cast<std::size_t>(i)])) << i;
    EXPECT_EQ(output.metrics[10], -1.0);  // one page more than 16 MiB
    EXPECT_EQ(output.metrics[11], 1.0);   // 16 MiB to the page

    EXPECT_EQ(output.set, (1u << 3) | (1u << 4));
    EXPECT_EQ(output.value[3], 0.5);
    EXPECT_EQ(output.value[4], -20.0);
    EXPECT_EQ(output.no_channel_count, 2u);
    EXPECT_EQ(output.no_channel, -1);
    EXPECT_EQ(output.not_finite_count, 2u);
    EXPECT_EQ(output.not_finite_channel, 1);
    EXPECT_TRUE(std::isnan(output.not_finite_value));
    EXPECT_EQ(output.clamped_count, 2u);
    EXPECT_EQ(output.clamped_channel, 3);
    EXPECT_EQ(output.clamped_value, 9.0);
    EXPECT_EQ(output.metric_count, output.metrics.size());
    EXPECT_EQ(output.metrics_dropped, 12u + 100u - output.metrics.size());
}

TEST_F(ControllerTest, EachTickStartsWithAnEmptyOutput) {
    const auto odd = load("good/odd_requests", bench_arm(kPatientHz));
    const auto hold = load("examples/hold", bench_arm(kPatientHz));
    ASSERT_TRUE(odd && hold);
    TickOutput output;
    ASSERT_EQ((*odd)->tick(0, {}, output), TickResult::kOk);
    output.estop_requested = true;
    ASSERT_EQ((*hold)->tick(1, {}, output), TickResult::kOk);
    EXPECT_EQ(output.set, 0u);
    EXPECT_EQ(output.not_finite_channel, -1);
    EXPECT_EQ(output.clamped_channel, -1);
    EXPECT_EQ(output.not_finite_count + output.clamped_count + output.no_channel_count, 0u);
    EXPECT_EQ(output.metric_count + output.metrics_dropped, 0u);
    EXPECT_FALSE(output.estop_requested);
}

TEST_F(ControllerTest, AnEstopRequestIsReported) {
    const auto controller = load("estop_request", bench_arm(kPatientHz));
    ASSERT_TRUE(controller) << controller.error().message;
    TickOutput output;
    EXPECT_EQ((*controller)->tick(0, {}, output), TickResult::kOk);
    EXPECT_TRUE(output.estop_requested);
}

TEST_F(ControllerTest, AnEndlessLoopIsInterruptedAndTheEngineGoesOn) {
    const auto endless = load("endless_loop", bench_arm());
    const auto hold = load("examples/hold", bench_arm(kPatientHz));
    ASSERT_TRUE(endless && hold);
    TickOutput output;
    for (std::int64_t tick = 0; tick < 3; ++tick) {
        EXPECT_EQ((*endless)->tick(tick, {}, output), TickResult::kDeadline);
        EXPECT_EQ((*hold)->tick(tick, {}, output), TickResult::kOk);
    }
    const std::string message = (*endless)->trap_message();
    EXPECT_TRUE(message.starts_with("process(2) was interrupted in function `spin`")) << message;
    EXPECT_NE(message.find("its budget is 8 ms; bound its loops"), std::string::npos) << message;
}

TEST_F(ControllerTest, ATickIsNeverInterruptedBeforeItsBudgetHasPassed) {
    const auto endless = load("endless_loop", bench_arm());
    ASSERT_TRUE(endless);
    TickOutput output;
    // The ticks begin at different phases of the epoch: just after an increment, and just before one.
    for (std::int64_t tick = 0; tick < 20; ++tick) {
        const std::int64_t start_ns = monotonic_ns() + tick * 50'000;
        while (monotonic_ns() < start_ns) {
        }
        const std::int64_t begin_ns = monotonic_ns();
        EXPECT_EQ((*endless)->tick(tick, {}, output), TickResult::kDeadline);
        EXPECT_GE(monotonic_ns() - begin_ns, 8'000'000);
    }
}

// Of a shared budget nothing may be exceeded: three whole milliseconds are at most three increments. A busy
// machine may add some before they are read, but not in every try; the whole budget would be nine.
TEST_F(ControllerTest, ATickWithASharedBudgetIsInterruptedBeforeThatHasPassed) {
    timer.reset();
    const auto endless = load("endless_loop", bench_arm());
    ASSERT_TRUE(endless);
    std::atomic<int> increments{0};
    std::jthread thread([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            engine->increment_epoch();
            ++increments;
        }
    });
    int fewest = 100;
    TickOutput output;
    for (std::int64_t tick = 0; tick < 20; ++tick) {
        const int before = increments;
        EXPECT_EQ((*endless)->tick(tick, {.state = {}, .sim_time_ns = 0, .left_ns = 3'900'000}, output),
                  TickResult::kDeadline);
        fewest = std::min(fewest, increments - before);
    }
    EXPECT_LE(fewest, 4) << "increments, one of which may have been counted late";
    const std::string message = (*endless)->trap_message();
    EXPECT_NE(
        message.find("the controller that runs left it 3.9 ms of the 8 ms that both share; bound its loops"),
        std::string::npos)
        << message;
}

// The epoch in which a tick begins is not a whole one: eight more increments may come within less than 8 ms.
TEST_F(ControllerTest, EightIncrementsDoNotInterruptATickOfEightMilliseconds) {
    timer.reset();
    const auto busy = load_source(R"((module
        (import "timing" "now_ns" (func $now_ns (result i64)))
        (func (export "process") (param $tick i64)
          (local $end i64)
          (local.set $end (i64.add (call $now_ns) (i64.const 5000000)))
          (loop $again (br_if $again (i64.lt_s (call $now_ns) (local.get $end)))))))",
                                  bench_arm());
    ASSERT_TRUE(busy) << busy.error().message;
    std::atomic<std::int64_t> begin_ns{0};
    const std::jthread increments([&] {
        while (begin_ns.load() == 0 || monotonic_ns() < begin_ns.load() + 1'000'000)
            std::this_thread::yield();
        for (int i = 0; i < 8; ++i) engine->increment_epoch();
    });
    TickOutput output;
    begin_ns = monotonic_ns();
    if ((*busy)->tick(0, {}, output) != TickResult::kOk) {
        // A busy machine may have made it late; it must not have been interrupted.
        EXPECT_TRUE((*busy)->trap_message().starts_with("process(0) came back late"))
            << (*busy)->trap_message();
    }
}

// No epoch advances here, as when the loop below has died: what comes back late is found by the clock.
TEST_F(ControllerTest, ATickThatComesBackLateIsAnOverrun) {
    timer.reset();
    const auto slow = load_source(R"((module
        (import "timing" "now_ns" (func $now_ns (result i64)))
        (func (export "process") (param $tick i64)
          (local $end i64)
          (local.set $end (i64.add (call $now_ns) (i64.const 9000000)))
          (loop $again (br_if $again (i64.lt_s (call $now_ns) (local.get $end)))))))",
                                  bench_arm());
    ASSERT_TRUE(slow) << slow.error().message;
    TickOutput output;
    EXPECT_EQ((*slow)->tick(5, {}, output), TickResult::kLate);
    EXPECT_TRUE((*slow)->trap_message().starts_with("process(5) came back late after"));
}

TEST_F(ControllerTest, SixteenMebibytesAreAllowed) {
    const auto big = load_source(R"((module (memory 256) (func (export "process") (param i64)
        (i32.store8 (i32.const 16777215) (i32.const 1)))))",
                                 bench_arm(kPatientHz));
    ASSERT_TRUE(big) << big.error().message;
    TickOutput output;
    EXPECT_EQ((*big)->tick(0, {}, output), TickResult::kOk);
}

// mlockall counts mappings: the default settings of wasmtime reserve 4 GiB for each memory.
TEST_F(ControllerTest, TheAddressSpaceOfAControllerIsMegabytes) {
    const auto mapped_pages = [] {
        std::ifstream statm("/proc/self/statm");
        std::uint64_t pages = 0;
        statm >> pages;
        return pages;
    };
    const auto before = mapped_pages();
    const auto controller = load("good/odd_requests", bench_arm(kPatientHz));
    ASSERT_TRUE(controller);
    EXPECT_LT((mapped_pages() - before) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)), 64u << 20);
}

// A NaN's payload depends on the processor unless it is made canonical.
TEST_F(ControllerTest, NansAreCanonical) {
    const auto controller = load_source(R"((module
        (import "telemetry" "emit_metric" (func $emit (param f64)))
        (func (export "process") (param i64)
          (call $emit (f64.convert_i64_u (i64.shr_u (i64.reinterpret_f64
            (f64.add (f64.reinterpret_i64 (i64.const 0xfff8000000000123)) (f64.const 1))) (i64.const 0)))))))",
                                        bench_arm(kPatientHz));
    ASSERT_TRUE(controller) << controller.error().message;
    TickOutput output;
    ASSERT_EQ((*controller)->tick(0, {}, output), TickResult::kOk);
    EXPECT_EQ(output.metrics[0], static_cast<double>(0x7ff8000000000000));
}

TEST_F(ControllerTest, ExamplesRun) {
    for (const char* name : {"examples/sine", "examples/hold", "examples/constant"}) {
        const auto controller = load(name, bench_arm(kPatientHz));
        ASSERT_TRUE(controller) << controller.error().message;
        TickOutput output;
        for (std::int64_t tick = 0; tick < 1000; ++tick) {
            const TickInput input{.state = {}, .sim_time_ns = 7'000'000'000 + tick * 10'000'000};
            ASSERT_EQ((*controller)->tick(tick, input, output), TickResult::kOk) << name;
            ASSERT_EQ(output.not_finite_count + output.clamped_count + output.no_channel_count, 0u) << name;
        }
    }
}

TEST_F(ControllerTest, TheConstantExampleRampsToItsVelocity) {
    const auto controller = load("examples/constant", bench_arm(kPatientHz));
    ASSERT_TRUE(controller);
    TickOutput output;
    const auto spindle_at = [&](std::int64_t tick) {
        EXPECT_EQ((*controller)
                      ->tick(tick, {.state = {}, .sim_time_ns = 3'000'000'000 + tick * 10'000'000}, output),
                  TickResult::kOk);
        EXPECT_EQ(output.set, 1u << 4);
        return output.value[4];
    };
    EXPECT_EQ(spindle_at(0), 0.0);
    EXPECT_DOUBLE_EQ(spindle_at(100), 2.5);
    EXPECT_EQ(spindle_at(200), 5.0);
    EXPECT_EQ(spindle_at(1000), 5.0);
}

// Opening one waits for its writer: the control socket would answer nobody, not even who asks to disarm.
TEST_F(ControllerTest, AFifoIsRefusedAtOnce) {
    const auto fifo = folder / "fifo.cwasm";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const auto loaded = Controller::load(engine, bench_arm(), fifo);
    ASSERT_FALSE(loaded);
    EXPECT_TRUE(loaded.error().message.starts_with("load: ")) << loaded.error().message;
}

TEST_F(ControllerTest, AFileThatIsNoCompiledControllerIsRefused) {
    const auto refused = [&](const std::filesystem::path& file) {
        const auto loaded = Controller::load(engine, bench_arm(), file);
        return loaded ? std::string("loaded") : loaded.error().message;
    };
    EXPECT_TRUE(refused(folder / "missing.cwasm").starts_with("load: ")) << refused(folder / "missing.cwasm");
    std::ofstream(folder / "text.cwasm") << "not machine code";
    EXPECT_NE(refused(folder / "text.cwasm").find("deploy its source again"), std::string::npos);
    std::ofstream(folder / "empty.cwasm") << "";
    EXPECT_NE(refused(folder / "empty.cwasm").find("deploy its source again"), std::string::npos);
    EXPECT_NE(refused(folder).find("load: "), std::string::npos);
}

TEST_F(ControllerTest, NamesOfAModuleAreCutInMessages) {
    const std::string name(100'000, 'x');
    const auto refused = load_source("(module (import \"" + name + "\" \"f\" (func)))", bench_arm());
    ASSERT_FALSE(refused);
    EXPECT_LT(refused.error().message.size(), 600u);
    // Cut between characters, not within one.
    std::string wide = "a";
    for (int i = 0; i < 100; ++i) wide += "é";
    const auto cut = load_source("(module (import \"" + wide + "\" \"f\" (func)))", bench_arm());
    ASSERT_FALSE(cut);
    EXPECT_NE(cut.error().message.find("é...`"), std::string::npos) << cut.error().message;
}

class CompileTest : public Workshop {};

TEST_F(CompileTest, RefusesWhatIsNoSource) {
    const auto message = [&](std::string_view source) {
        const auto compiled = compile(*engine, source);
        return compiled ? std::string("compiled") : compiled.error().message;
    };
    EXPECT_EQ(message("").substr(0, 30), "compile: the source is empty; ");
    EXPECT_NE(message(std::string(kMaxSourceBytes + 1, ' ')).find("1048577 bytes, the limit is 1048576; "),
              std::string::npos);
    EXPECT_TRUE(message("print('hello')").starts_with("compile: line 1, column 1: expected `(`"));
    EXPECT_TRUE(message(std::string_view("\0asm\1\0\0", 7)).starts_with("compile: ")) << "truncated";
    EXPECT_TRUE(message("\x7f"
                        "ELF....")
                    .starts_with("compile: the source is machine code"));
    EXPECT_TRUE(message("\xff\xfe\xfd").starts_with("compile: ")) << message("\xff\xfe\xfd");
}

TEST_F(CompileTest, RefusesEveryTruncationOfABinary) {
    // (module (func (export "process") (param i64))), as binary.
    const std::string_view module{
        "\0asm\1\0\0\0\1\5\1\x60\1\x7e\0\3\2\1\0\7\x0b\1\7process\0\0\x0a\4\1\2\0\x0b", 38};
    ASSERT_TRUE(compile(*engine, module)) << compile(*engine, module).error().message;
    for (std::size_t size = 1; size < module.size(); ++size) {
        if (const auto cut = compile(*engine, module.substr(0, size))) {
            // Cut between two sections it may still be a module, but never a controller.
            EXPECT_FALSE(load_source(module.substr(0, size), bench_arm())) << size;
        } else {
            EXPECT_TRUE(cut.error().message.starts_with("compile: ")) << size;
        }
    }
}

TEST_F(CompileTest, IsDeterministic) {
    const std::string source = read_text(source_of("examples/sine"));
    EXPECT_EQ(*compile(*engine, source), *compile(*engine, source));
}

}  // namespace
}  // namespace holdfast::wasm
