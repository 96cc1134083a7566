// Runs the core's real-time cycle a million times and counts what it must not do: allocations, page faults,
// and system calls that docs/architecture.md does not list. 0 if there were none.
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "rt/realtime.hpp"
#include "tripwire/documented_calls.hpp"
#include "tripwire/life.hpp"

namespace {

using namespace holdfast;
using namespace holdfast::tripwire;

constexpr int kTripped = 1;
constexpr int kCannotTell = 2;
constexpr const char* kDocument = HOLDFAST_REPOSITORY "/docs/architecture.md";

// A page of this process that is not there: the next touch faults.
volatile char* absent_page() {
    const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munlock(page, size);
    madvise(page, size, MADV_DONTNEED);
    return static_cast<volatile char*>(page);
}

// The test of the test: what a careless line in the loop would do.
void violate(const std::string& violation, volatile char* page) {
    if (violation == "allocation") ::operator delete(::operator new(64));
    if (violation == "page-fault") *page = 1;
    if (violation == "system-call") (void)getppid();
}

std::string joined(const std::map<std::string, std::uint64_t>& calls) {
    std::string text;
    for (const auto& [name, count] : calls)
        text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
    return text;
}

struct Verdict {
    std::uint64_t other_calls{};
    std::vector<std::string> complaints;
};

Verdict judge(const std::set<std::string>& allowed, const std::map<std::string, std::uint64_t>& made) {
    Verdict verdict;
    for (const auto& [name, count] : made) {
        if (allowed.contains(name)) continue;
        verdict.other_calls += count;
        verdict.complaints.push_back(std::to_string(count) + " x " + name + ", which " + kDocument +
                                     " does not list");
    }
    for (const std::string& name : allowed) {
        if (!made.contains(name))
            verdict.complaints.push_back(name + " is listed in " + kDocument + " and never made");
    }
    return verdict;
}

// A life that went nowhere would prove nothing.
void check_life(const Lived& lived, std::vector<std::string>& complaints) {
    const std::uint64_t lives = lived.cycles / Life::kCyclesOfALife;
    const auto demand = [&](const char* what, std::uint64_t found, std::uint64_t at_least) {
        if (found < at_least)
            complaints.push_back(std::string("the robot's life held only ") + std::to_string(found) + " " +
                                 what + ", expected " + std::to_string(at_least));
    };
    demand("lives", lives, 1);
    demand("armed cycles", lived.armed_cycles, lives * 3'000);
    demand("controller ticks", lived.controller_ticks, lives * 300);
    demand("loads", lived.controllers_loaded, lives * 2);
    demand("times armed", lived.arms, lives * 2);
    demand("e-stops", lived.estops_seen, lives);
    demand("other stops", lived.stops, lives);
    demand("overruns", lived.overruns, lives);
    demand("stale samples", lived.stale_states, lives * 10);
}

int run(std::uint64_t cycles, const std::string& violation) {
    for (const std::string& shortfall : lock_memory()) std::printf("note: %s\n", shortfall.c_str());
    Life life;
    const auto allowed = documented_calls(kDocument, life.links());
    if (!allowed) {
        std::fprintf(stderr, "tripwire: %s\n", allowed.error().message.c_str());
        return kCannotTell;
    }
    volatile char* page = absent_page();
    (void)make_thread_realtime(0, -1);  // not real-time here: it takes the stack's pages
    if (!trap_system_calls()) {
        std::fprintf(stderr, "tripwire: this kernel refuses a seccomp filter; run it where there is one\n");
        return kCannotTell;
    }
    Watch watch;
    for (std::uint64_t i = 0; i < cycles; ++i) {
        const bool violates = i == cycles / 2;
        life.cycle(watch, [&] {
            if (violates) violate(violation, page);
        });
    }
    const Seen& seen = watch.seen();
    const auto made = counted_calls();
    Verdict verdict = judge(*allowed, made);
    check_life(life.lived(), verdict.complaints);
    std::printf("%" PRIu64 " cycles: %" PRIu64 " allocations, %" PRIu64 " page faults (%" PRIu64
                " major), %" PRIu64 " other system calls (%s)\n",
                cycles, seen.heap_calls, seen.minor_faults + seen.major_faults, seen.major_faults,
                verdict.other_calls, joined(made).c_str());
    for (const std::string& complaint : verdict.complaints) std::printf("tripwire: %s\n", complaint.c_str());
    const bool clean =
        seen.heap_calls + seen.minor_faults + seen.major_faults == 0 && verdict.complaints.empty();
    return clean ? 0 : kTripped;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Counts what the real-time cycle must not do.", "holdfast-tripwire");
    std::uint64_t cycles = 1'000'000;
    std::string violation = "none";
    app.add_option("--cycles", cycles, "cycles of Tier-1, at least 10000")
        ->check(CLI::Range(Life::kCyclesOfALife, std::uint64_t{1} << 40))
        ->capture_default_str();
    app.add_option("--violate", violation, "do this once, half-way, as a test of the tripwire")
        ->check(CLI::IsMember({"none", "allocation", "page-fault", "system-call"}))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    return run(cycles, violation);
}
