// What a real-time process must be spared: allocations in tick() (DESIGN §3, TESTS 10) and signal handlers.
#include <csignal>

#include "bench_arm.hpp"
#include "counted_allocations.hpp"
#include "workshop.hpp"

namespace holdfast::wasm {
namespace {

class RealtimeTest : public Workshop {
  protected:
    // Allocations during `ticks` ticks.
    std::uint64_t count(Controller& controller, std::int64_t ticks, TickResult expected) {
        const std::array<double, 5> state{0.1, 0.2, 0.3, 0.4, 0.5};
        TickOutput output;
        bool all = true;
        const std::uint64_t before = allocations();
        for (std::int64_t tick = 0; tick < ticks; ++tick) {
            all &= controller.tick(tick, {.state = state, .sim_time_ns = tick}, output) == expected;
        }
        const std::uint64_t after = allocations();
        EXPECT_TRUE(all);
        return after - before;
    }
};

TEST_F(RealtimeTest, TheCounterSeesThisExecutableAndTheLibrary) {
    const std::uint64_t before = allocations();
    ::operator delete(::operator new(1));
    EXPECT_GT(allocations(), before);
    const auto traps = load("assertion", bench_arm(1));
    ASSERT_TRUE(traps);
    EXPECT_GT(count(**traps, 1, TickResult::kTrap), 0u);  // wasmtime records the trap on the heap
}

TEST_F(RealtimeTest, ATickAllocatesNothing) {
    engine->prepare_thread();
    for (const char* name :
         {"good/every_host_function", "good/odd_requests", "examples/sine", "examples/constant"}) {
        const auto controller = load(name, bench_arm(1));
        ASSERT_TRUE(controller) << controller.error().message;
        EXPECT_EQ(count(**controller, 10'000, TickResult::kOk), 0u) << name;
    }
}

// Hazard: a handler of wasmtime's would run, and could hide a crash, in the real-time process. (A sanitizer
// installs its own, so this stands here.)
TEST_F(RealtimeTest, NoSignalHandlerIsInstalled) {
    ASSERT_TRUE(load("examples/hold", bench_arm(1)));
    for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
        struct sigaction action{};
        ASSERT_EQ(::sigaction(number, nullptr, &action), 0);
        EXPECT_EQ(action.sa_handler, SIG_DFL) << number;
    }
}

// The controller thread is not the one that loaded: what wasmtime keeps for each thread must not be made in a
// tick.
TEST_F(RealtimeTest, TheFirstTickOfAPreparedThreadAllocatesNothing) {
    const auto controller = load("good/every_host_function", bench_arm(1));
    ASSERT_TRUE(controller);
    std::uint64_t allocated = 1;
    std::thread([&] {
        engine->prepare_thread();
        allocated = count(**controller, 1, TickResult::kOk);
    }).join();
    EXPECT_EQ(allocated, 0u);
}

}  // namespace
}  // namespace holdfast::wasm
