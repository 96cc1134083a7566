"""The mutation run finds what it claims to find, and does not count as killed what never ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts.mutation.build import Toolchain, checked
from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.outcome import Verdict
from scripts.mutation.report import conclude, table, write_json
from scripts.mutation.run import BaselineError, Target, TargetRun, run_target
from scripts.mutation.switched import switchable, switched
from scripts.mutation.waivers import Waiver, load_waivers
from scripts.stages import ROOT

REPORTER = ROOT / "runtime" / "control" / "tests" / "mutation" / "outcome_reporter.cpp"
DECLARATION = "double half(double);"
# With >= it gives the same for every number, which the compiler cannot know: -0.0 / 2 is not 0.0.
HALF = """
double half(double value) {
    if (value > 0.0) return value / 2;
    return 0.0;
}
"""
STRONG = """
TEST(Half, Everything) { for (int i = -20; i < 30; ++i) EXPECT_EQ(half(i / 4.0), i > 0 ? i / 8.0 : 0.0); }
"""
WEAK = "TEST(Half, Little) { EXPECT_EQ(half(-3), 0.0); }"


def mutant(source: str, after: str, before: str) -> Mutant:
    """Return the one mutant of the source that turns `before` into `after`."""
    found = [m for m in mutants_of(source.encode(), "it") if (m.before, m.after) == (before, after)]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="session")
def reporter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reporter")
    output = folder / "outcome_reporter.o"
    checked(["g++", "-std=c++20", "-c", str(REPORTER), "-o", str(output)], folder)
    return output


Run = Callable[..., TargetRun]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, reporter: Path) -> Run:
    """Return a function that runs every mutant of a source against a GoogleTest body."""

    def run_it(
        source: str, declaration: str, test: str, reporter_object: Path = reporter, only: str = ""
    ) -> TargetRun:
        tmp_path = tmp_path_factory.mktemp("mutants")
        subject, test_file = tmp_path / "subject.cpp", tmp_path / "test.cpp"
        subject.write_text(source)
        test_file.write_text(f"#include <gtest/gtest.h>\n{declaration}\n{test}\n")
        test_object = tmp_path / "test.o"
        checked(["g++", "-std=c++20", "-c", str(test_file), "-o", str(test_object)], tmp_path)
        tools = Toolchain(
            compile=("g++", "-std=c++20"),
            link=("g++", str(test_object), "-lgtest", "-lgtest_main", "-pthread"),
            folder=tmp_path,
        )
        target = Target("subject.cpp", subject, tools, reporter_object)
        return run_target(target, tmp_path / "work", 2, lambda *_: None, only)

    return run_it


def verdicts(run: TargetRun) -> dict[tuple[str, str], Verdict]:
    return {(tried.mutant.before, tried.mutant.after): tried.outcome.verdict for tried in run.tried}


@pytest.fixture(scope="session")
def strong(run: Run) -> TargetRun:
    return run(HALF, DECLARATION, STRONG)


@pytest.fixture(scope="session")
def weak(run: Run) -> TargetRun:
    return run(HALF, DECLARATION, WEAK)


def test_a_strong_test_kills_every_mutant_and_a_weak_one_leaves_survivors(
    strong: TargetRun, weak: TargetRun
) -> None:
    assert len(strong.tried) > 10
    assert [tried.mutant.after for tried in strong.of(Verdict.SURVIVED)] == [">="]
    assert len(strong.of(Verdict.KILLED)) == len(strong.tried) - 1
    assert {"(2 + 1)", "false"} <= {tried.mutant.after for tried in weak.of(Verdict.SURVIVED)}
    assert conclude([weak], []).passed is False


def test_killed_crashed_timed_out_and_survived_are_told_apart(run: Run) -> None:
    source = """
int table[4] = {1, 2, 3, 4};
int sum(int count) {
    int total = 0;
    for (int i = 0; i < count; ++i) total += *(i < 4 ? &table[i] : (int*)nullptr);
    return total;
}
"""
    found = verdicts(run(source, "int sum(int);", "TEST(Sum, Three) { EXPECT_EQ(sum(3), 6); }"))
    assert found["total += *(i < 4 ? &table[i] : (int*)nullptr);", ";"] is Verdict.KILLED
    assert found["i < count", "true"] is Verdict.CRASHED  # reads through null
    assert found["++", "--"] is Verdict.CRASHED or found["++", "--"] is Verdict.KILLED
    assert found["4", "(4 + 1)"] is Verdict.SURVIVED
    endless = "void spin(volatile int* left) { while (*left > 0) *left -= 1; }"
    test = "TEST(Spin, Ends) { volatile int left = 3; spin(&left); EXPECT_EQ(left, 0); }"
    found = verdicts(run(endless, "void spin(volatile int*);", test, only="subject-00"))
    assert found["*left -= 1;", ";"] is Verdict.TIMED_OUT
    assert found["*left > 0", "false"] is Verdict.KILLED


def test_a_mutant_that_changes_no_machine_code_is_equivalent(run: Run) -> None:
    source = "int pick(int a) { if (a < 0) { a = 1; a = 2; } return a; }"
    test = "TEST(Pick, Both) { EXPECT_EQ(pick(-1), 2); EXPECT_EQ(pick(0), 0); EXPECT_EQ(pick(3), 3); }"
    found = verdicts(run(source, "int pick(int);", test))
    assert found["a = 1;", ";"] is Verdict.EQUIVALENT
    assert found["a = 2;", ";"] is Verdict.KILLED


def test_what_does_not_compile_is_not_killed(run: Run) -> None:
    source = "int f(int a) { switch (a) { case 0: return 3; case 1: return 4; } return 5; }"
    test = "TEST(F, All) { EXPECT_EQ(f(0), 3); EXPECT_EQ(f(1), 4); EXPECT_EQ(f(2), 5); }"
    found = verdicts(run(source, "int f(int);", test))
    assert found["0", "(0 + 1)"] is Verdict.NOT_BUILT  # the same case twice
    assert found["0", "(0 - 1)"] is Verdict.KILLED


def test_a_red_baseline_ends_the_run(run: Run) -> None:
    with pytest.raises(BaselineError, match="does not pass before"):
        run(HALF, DECLARATION, "TEST(Half, Wrong) { EXPECT_EQ(half(3), 4.0); }")


def test_a_test_that_skips_or_leaves_early_proves_nothing(run: Run) -> None:
    with pytest.raises(BaselineError, match="unproved"):
        run(HALF, DECLARATION, "TEST(Half, Skips) { GTEST_SKIP(); }")
    with pytest.raises(BaselineError, match="unproved"):
        run(HALF, f"#include <cstdlib>\n{DECLARATION}", "TEST(Half, Leaves) { std::_Exit(0); }")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Never answers for a mutant: nothing ran, and yet a test that always failed would look like a kill.
        ("holdfast_selected_mutant = report().selected();", "holdfast_selected_mutant = 0;"),
        ('write("start %d\\n", selected_);', 'write("start 7\\n");'),
    ],
)
def test_a_mutant_that_did_not_run_is_not_killed(run: Run, tmp_path: Path, before: str, after: str) -> None:
    text = REPORTER.read_text()
    assert before in text
    lying, output = tmp_path / "lying.cpp", tmp_path / "lying.o"
    lying.write_text(text.replace(before, after))
    checked(["g++", "-std=c++20", "-c", str(lying), "-o", str(output)], tmp_path)
    flaky = """
#include <cstdlib>
#include <string>
TEST(Half, FailsForEveryMutant) { EXPECT_EQ(std::string(std::getenv("HOLDFAST_MUTANT")), "0"); }
"""
    if "start 7" in after:
        with pytest.raises(BaselineError, match="unproved"):
            run(HALF, DECLARATION, flaky, output)
    else:
        assert {tried.outcome.verdict for tried in run(HALF, DECLARATION, flaky, output).tried} == {
            Verdict.UNPROVED
        }


def test_what_no_test_reaches_survives(run: Run) -> None:
    source = "int used() { return 1; }\nint unused() { return 2; }"
    found = run(source, "int used();", "TEST(Used, One) { EXPECT_EQ(used(), 1); }")
    assert {t.mutant.function for t in found.of(Verdict.SURVIVED)} == {"unused"}
    assert {t.outcome.detail for t in found.of(Verdict.SURVIVED)} == {"no test reaches it"}
    assert {t.mutant.function for t in found.of(Verdict.KILLED)} == {"used"}


def test_all_mutants_off_is_the_source_as_it_is() -> None:
    source = b"bool f(int a) { if (a < 3 && a > 1) return true; a += 2; return !a; }"
    text = switched(source, "f.cpp", switchable(mutants_of(source, "f"))).decode()
    for mutation in mutants_of(source, "f"):
        assert f"holdfast_mutant({mutation.number})" in text
    assert text.count("{ if (!(holdfast_mutant(") == 1


def waiver_for(found: Mutant, reason: str = "Both branches give 0 there.") -> Waiver:
    return Waiver("subject.cpp", found.function, found.line_before, found.line_after, reason)


def test_a_waiver_explains_its_survivor_and_goes_stale_without_it(strong: TargetRun, tmp_path: Path) -> None:
    boundary = waiver_for(mutant(HALF, ">=", ">"))
    assert not conclude([strong], []).passed
    assert conclude([strong], [boundary]).passed
    killed = waiver_for(mutant(HALF, "false", "value > 0.0"))
    conclusion = conclude([strong], [boundary, killed])
    assert conclusion.stale == [killed]
    assert not conclusion.passed
    assert "STALE WAIVER subject.cpp, half" in table([strong], conclusion)
    write_json(tmp_path / "report.json", [strong], conclusion)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"] is False
    assert report["targets"][0]["counts"]["survived"] == 1
    assert [m["waiver"] for m in report["targets"][0]["mutants"] if m["waiver"]] == [boundary.reason]


def test_a_survivor_is_shown_with_its_place_and_its_change(weak: TargetRun) -> None:
    shown = table([weak], conclude([weak], []))
    assert "SURVIVED     runtime/control/src/subject.cpp:3" in shown
    assert "  - if (value > 0.0) return value / 2;" in shown
    assert "  + if (value > (0.0 + 1)) return value / 2;" in shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[waiver]]\nfile = "a.cpp"\n', "must have the keys"),
        (
            '[[waiver]]\nfile = "a"\nfunction = "b"\nline = "c"\nmutant = "d"\nreason = "ok"\n',
            "has no reason",
        ),
    ],
)
def test_a_waiver_without_a_reason_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_waivers(tmp_path / "waivers.toml")


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("bool f(int a) { return a < 3; }", "<", "<="),
        ("bool f(int a) { return a < 3; }", "a < 3", "!(a < 3)"),
        ("bool f(bool a, bool b) { return a && b; }", "a", "true"),
        ("bool f(bool a, bool b) { return a || b; }", "b", "false"),
        ("int f(int a) { return a ? 1 : 2; }", "a", "!(a)"),
        ("double f(double a) { return std::min(a, 2.0); }", "std::min", "std::max"),
        ("void g(); void f() { g(); }", "g();", ";"),
        ("void f(int& a) { if (a) return; a = 1; }", "return;", ";"),
        ("int f(int a) { while (a) { break; } return a; }", "break;", ";"),
        ("E f(int a) { return a ? E::kOne : E::kTwo; }", "E::kOne", "E::kTwo"),
        ("double f(double a) { return -a; }", "-", ""),
        ("int f(int a) { if (int b = a; b > 1) return b; return 0; }", "b > 1", "false"),
    ],
)
def test_each_kind_of_fault_is_made(source: str, before: str, after: str) -> None:
    changed = mutant(source, after, before).applied_to(source.encode()).decode()
    assert changed == source.replace(before, after, 1) or changed.count(after) > 0
    assert changed != source


def test_includes_and_assertions_of_the_compiler_are_left_alone() -> None:
    assert mutants_of(b"#include <x-1.h>\nstatic_assert(sizeof(int) == 4);\n", "it") == []


def test_ids_are_in_the_order_of_the_file() -> None:
    found = mutants_of(HALF.encode(), "it")
    assert [m.id for m in found] == [f"it-{number:03d}" for number in range(1, len(found) + 1)]
    assert {m.function for m in found} == {"half"}
