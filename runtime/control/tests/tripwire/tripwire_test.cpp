// The tripwire is silent on the core as it is, and finds each kind of violation.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include "temporary_directory.hpp"
#include "tripwire/documented_calls.hpp"

namespace holdfast::tripwire {
namespace {

struct Ended {
    int code{};
    std::string said;
};

Ended tripwire(const std::string& arguments) {
    std::FILE* pipe = popen((std::string(TRIPWIRE_EXECUTABLE " ") + arguments + " 2>&1").c_str(), "r");
    Ended ended;
    std::array<char, 512> text{};
    while (fgets(text.data(), text.size(), pipe) != nullptr) ended.said += text.data();
    ended.code = WEXITSTATUS(pclose(pipe));
    return ended;
}

TEST(Tripwire, IsSilentOnTheCoreAsItIs) {
    const Ended ended = tripwire("--cycles 20000");
    EXPECT_EQ(ended.code, 0) << ended.said;
    EXPECT_NE(ended.said.find("20000 cycles: 0 allocations, 0 page faults (0 major), 0 other system calls"),
              std::string::npos)
        << ended.said;
}

struct Violation {
    const char* name;
    const char* found;
};
class TripwireOn : public testing::TestWithParam<Violation> {};
TEST_P(TripwireOn, AViolationTrips) {
    const Ended ended = tripwire(std::string("--cycles 10000 --violate ") + GetParam().name);
    EXPECT_EQ(ended.code, 1) << ended.said;
    EXPECT_NE(ended.said.find(GetParam().found), std::string::npos) << ended.said;
}
INSTANTIATE_TEST_SUITE_P(Each, TripwireOn,
                         testing::Values(Violation{"allocation", ": 2 allocations"},  // and its release
                                         Violation{"page-fault", " 1 page faults"},
                                         Violation{"system-call", "1 x getppid, which"}),
                         [](const auto& violation) {
                             std::string name = violation.param.name;
                             std::erase(name, '-');
                             return name;
                         });

TEST(DocumentedCalls, AreThoseOfEveryLinkAndOfTheRobotsOwn) {
    const TemporaryDirectory folder;
    const auto file = folder.path() / "architecture.md";
    std::ofstream(file) << "# A\n| link | system calls of a cycle |\n|---|---|\n| every link | `one` |\n"
                           "| `unix:` | `two`, `three` |\n| `can:` | `four` |\n\n| `serial:` | `late` |\n";
    EXPECT_EQ(*documented_calls(file, {"unix"}), (std::set<std::string>{"one", "two", "three"}));
    EXPECT_EQ(*documented_calls(file, {"can"}), (std::set<std::string>{"one", "four"}));
    EXPECT_FALSE(documented_calls(file, {"serial"}));
    std::ofstream(file) << "# A\n";
    EXPECT_FALSE(documented_calls(file, {"unix"}));
}

}  // namespace
}  // namespace holdfast::tripwire
