// holdfast-verify as a whole: from a source file to a published .cwasm, or to a report and nothing else.
#include "verify/candidate.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "verify/source_file.hpp"
#include "verify/staged_file.hpp"
#include "workshop.hpp"

namespace holdfast::verify {
namespace {

class Candidate : public wasm::Workshop {
  protected:
    void SetUp() override {
        Workshop::SetUp();
        request.config = HOLDFAST_ROBOT;
        request.out = folder / "out" / "candidate.cwasm";
        std::filesystem::create_directory(folder / "out");
        // A budget of 800 ms: a busy machine is not a slow controller.
        ::setenv("HOLDFAST_CONTROL__CONTROLLER_HZ", "1", 1);
    }
    void TearDown() override {
        ::unsetenv("HOLDFAST_CONTROL__CONTROLLER_HZ");
        Workshop::TearDown();
    }
    Report examine_text(std::string_view text) {
        std::ofstream(folder / "source", std::ios::binary) << text;
        request.source = folder / "source";
        return examine(request);
    }
    Report examine_named(const std::string& name) {
        request.source = source_of(name);
        return examine(request);
    }
    std::size_t files_left() const {
        const std::filesystem::directory_iterator entries(folder / "out");
        return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
    }
    void expect_unusable(const Report& report, const std::string& part) const {
        EXPECT_EQ(report.code, ExitCode::kUnusable) << report.body;
        EXPECT_EQ(report.body["ok"], false);
        const std::string error = report.body["error"];
        EXPECT_NE(error.find(part), std::string::npos) << error;
        EXPECT_EQ(files_left(), 0u);
    }
    Request request;
};

TEST_F(Candidate, AnAcceptedOneIsPublishedAndLoads) {
    const Report report = examine_named("examples/sine");
    EXPECT_EQ(report.code, ExitCode::kAccepted) << report.body;
    EXPECT_EQ(report.body["ok"], true);
    EXPECT_EQ(report.body["ticks"], 100);
    EXPECT_EQ(report.body["states"],
              (std::vector<std::string>{"zero", "limits.min", "limits.max", "random"}));
    EXPECT_GT(report.body["max_tick_us"].get<double>(), 0.0);
    EXPECT_EQ(files_left(), 1u);
    const auto config = load_robot_config(request.config);
    ASSERT_TRUE(config);
    EXPECT_TRUE(wasm::Controller::load(engine, *config, request.out));
}

TEST_F(Candidate, WebAssemblyIsTakenAsWell) {
    constexpr std::string_view kHold{
        "\0asm\1\0\0\0\1\5\1\x60\1\x7e\0\3\2\1\0\7\x0b\1\7process\0\0\x0a\4\1\2\0\x0b", 38};
    EXPECT_EQ(examine_text(kHold).code, ExitCode::kAccepted);
    EXPECT_EQ(examine_text(kHold.substr(0, 30)).code, ExitCode::kRejected);
}

// Hazard: a file that the core has mapped is renamed to where the next one is written.
TEST_F(Candidate, NoFileThatIsThereIsWrittenTo) {
    const auto mapped = folder / "mapped";
    std::ofstream(mapped) << "of another controller";
    std::filesystem::create_hard_link(
        mapped, request.out.parent_path() /
                    ("." + request.out.filename().string() + "." + std::to_string(::getpid()) + ".tmp"));
    const Report report = examine_named("examples/sine");
    EXPECT_EQ(report.code, ExitCode::kAccepted) << report.body;
    EXPECT_EQ(wasm::read_text(mapped), "of another controller");
}

TEST_F(Candidate, TheTraceIsShown) {
    request.trace = folder / "trace.json";
    std::ofstream(*request.trace) << R"({"states": [[0,0,0,0,0,0,0,0,0,null],[1,0,0,0,0,0,0,0,0,0]]})";
    const Report report = examine_named("examples/sine");
    ASSERT_EQ(report.code, ExitCode::kAccepted) << report.body;
    EXPECT_EQ(report.body["states"].back(), "trace");
}

TEST_F(Candidate, ARejectedOneLeavesNothingAndTheOldOneStays) {
    for (const char* name : {"broken_syntax", "no_process", "memory_of_17_mib", "not_a_number"}) {
        const Report report = examine_named(name);
        EXPECT_EQ(report.code, ExitCode::kRejected) << report.body;
        EXPECT_EQ(report.body["ok"], false);
        EXPECT_EQ(files_left(), 0u) << name;
    }
    std::ofstream(request.out) << "the last known good";
    EXPECT_EQ(examine_named("not_a_number").code, ExitCode::kRejected);
    EXPECT_EQ(wasm::read_text(request.out), "the last known good");
    EXPECT_EQ(files_left(), 1u);
}

TEST_F(Candidate, TheReportHasTheFieldsOfTheRejection) {
    const Report verified = examine_named("out_of_limits_from_tick_17");
    EXPECT_EQ(verified.body["stage"], "verify");
    EXPECT_EQ(verified.body["tick"], 16);
    EXPECT_EQ(verified.body["channel"], "shoulder_pan");
    EXPECT_DOUBLE_EQ(verified.body["value"], 3.2);
    EXPECT_EQ(verified.body["state"], "zero");
    const Report compiled = examine_named("broken_syntax");
    EXPECT_EQ(compiled.body["stage"], "compile");
    EXPECT_FALSE(compiled.body.contains("tick"));
    EXPECT_EQ(nlohmann::json::parse(examine_named("not_a_number").body.dump())["value"], nullptr);
}

TEST_F(Candidate, SourcesThatAreNoneAreRejectedAtCompile) {
    const std::vector<std::pair<std::string, std::string>> rows{
        {"", "the source is empty"},
        {std::string(2'000'000, ' '), "the limit is 1048576"},
        {"def process(tick): pass", "line 1, column 1"},
        {std::string("\0asm", 4), "compile: "},
        {"(module (func (export \"\xff\xfe\")))", "compile: "}};
    for (const auto& [source, part] : rows) {
        const Report report = examine_text(source);
        EXPECT_EQ(report.code, ExitCode::kRejected) << report.body;
        EXPECT_EQ(report.body["stage"], "compile");
        EXPECT_NE(report.body["error"].get<std::string>().find(part), std::string::npos) << report.body;
        EXPECT_EQ(files_left(), 0u);
    }
}

TEST_F(Candidate, FilesThatCannotBeReadAreNamed) {
    request.source = folder / "missing.wat";
    expect_unusable(examine(request),
                    "missing.wat cannot be read: No such file or directory; check its path");
    request.source = folder;
    expect_unusable(examine(request), "it is not a regular file");
    ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
    request.source = folder / "fifo";
    expect_unusable(examine(request), "it is not a regular file");
    request.source = source_of("examples/sine");
    request.config = folder / "missing.toml";
    expect_unusable(examine(request), "missing.toml");
}

TEST_F(Candidate, AnEndlessFileIsNotReadToItsEnd) {
    std::filesystem::resize_file((std::ofstream(folder / "huge"), folder / "huge"), 1ull << 40);
    const auto source = read_source(folder / "huge");
    ASSERT_TRUE(source);
    EXPECT_EQ(source->size(), wasm::kMaxSourceBytes + 1);
}

TEST_F(Candidate, TracesThatDoNotFitAreNamed) {
    request.source = source_of("examples/sine");
    request.trace = folder / "trace.json";
    const auto with = [&](const char* text) {
        std::ofstream(*request.trace) << text;
        return examine(request);
    };
    expect_unusable(with("{"), R"(is not {"states": [[...], ...]})");
    expect_unusable(with(R"({"rows": []})"), R"(is not {"states": [[...], ...]})");
    expect_unusable(with(R"({"states": [[1, 2]]})"), "states[0] must hold 10 values");
    expect_unusable(with(R"({"states": [[0,0,0,0,0,0,0,0,0,0],[0,0,0,0,0,0,0,0,0,"x"]]})"),
                    "states[1] must hold numbers");
    request.trace = folder / "missing.json";
    expect_unusable(examine(request), "missing.json cannot be read");
}

TEST_F(Candidate, AnOutputThatCannotBeWrittenIsNamed) {
    request.source = source_of("examples/sine");
    request.out = folder / "no" / "such" / "folder.cwasm";
    expect_unusable(examine(request), "cannot be written: No such file or directory; check its folder");
    std::filesystem::create_directory(folder / "taken");
    request.out = folder / "taken";
    const Report report = examine(request);
    EXPECT_EQ(report.code, ExitCode::kUnusable) << report.body;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2) << "out and taken only";
}

// A limit on the size of files stands for a full disk: write() fails half-way.
TEST_F(Candidate, AFullDiskLeavesNothing) {
    request.source = source_of("examples/sine");
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = 4096;
    ::setrlimit(RLIMIT_FSIZE, &small);
    const Report report = examine(request);
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    expect_unusable(report, "cannot be written: File too large; free some space there");
}

}  // namespace
}  // namespace holdfast::verify
