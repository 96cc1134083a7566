// Linked into each mutant's test (scripts/mutation): switches on the one mutant that the process was started
// for, and proves that it ran, and how far.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace {

const char* environment(const char* name) {
    const char* value = std::getenv(name);
    if (value != nullptr) return value;
    std::fprintf(stderr, "%s is not set; scripts/mutation starts this\n", name);
    std::_Exit(2);
}

class Report {
  public:
    Report() { write("start %d\n", selected_); }
    [[nodiscard]] int selected() const { return selected_; }
    bool reached(int number) {
        if (number != selected_) return false;
        if (!reached_.exchange(true)) write("reached %d\n", number);
        return true;
    }
    template <typename... Values>
    void write(const char* format, Values... values) {
        std::fprintf(file_, format, values...);
        std::fflush(file_);
    }

  private:
    int selected_{std::atoi(environment("HOLDFAST_MUTANT"))};
    std::FILE* file_{std::fopen(environment("HOLDFAST_MUTANT_REPORT"), "w")};
    std::atomic<bool> reached_{false};
};

// Never destroyed: mutated code may run until the very end.
Report& report() {
    static Report& instance = *new Report;
    return instance;
}

class OutcomeReporter : public testing::EmptyTestEventListener {
  public:
    void OnTestProgramStart(const testing::UnitTest& test) override {
        report().write("tests %d\n", test.test_to_run_count());
    }
    void OnTestProgramEnd(const testing::UnitTest& test) override {
        const int failed = test.failed_test_count();
        report().write("end %d %d\n", test.successful_test_count() + failed, failed);
    }
};

// Mutated code may run before any constructor of the program's.
[[gnu::constructor(101)]] void select_mutant();

const bool kInstalled = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new OutcomeReporter);
    return true;
}();

}  // namespace

extern "C" {
int holdfast_selected_mutant = 0;
bool holdfast_mutant_reached(int number) noexcept { return report().reached(number); }
}

namespace {

void select_mutant() { holdfast_selected_mutant = report().selected(); }

}  // namespace
