"""A part below its gate fails, and so does one that nothing belongs to."""

from __future__ import annotations

from scripts.measure_coverage import CPP_PARTS, PYTHON_PARTS, Count, File, cpp_files, judge, python_files


def source(name: str, covered: int, total: int, branches: tuple[int, int] = (0, 0)) -> File:
    return File(f"runtime/control/src/{name}", Count(covered, total), Count(*branches))


KERNEL = source("safety/kernel.cpp", 60, 60, (40, 40))
SHIELD = source("shield/shield.cpp", 100, 100, (80, 80))
REST = source("core/tier1.cpp", 90, 100, (10, 100))


def test_each_part_has_one_line_and_its_gate() -> None:
    lines, passed = judge(CPP_PARTS, [KERNEL, SHIELD, REST])
    assert passed
    assert [line.partition("  ")[0] for line in lines] == ["safety kernel", "shield", "rest of C++"]
    assert "lines 100.00 % (60/60)" in lines[0]
    assert "branches  10.00 % (10/100)" in lines[2]


def test_one_line_or_one_branch_of_the_kernel_is_too_much_to_miss() -> None:
    for kernel in (
        source("safety/kernel.cpp", 59, 60, (40, 40)),
        source("safety/kernel.cpp", 60, 60, (39, 40)),
    ):
        lines, passed = judge(CPP_PARTS, [kernel, SHIELD, REST])
        assert not passed
        assert "BELOW ITS GATE" in lines[0]
        assert "passed" in lines[1]


def test_the_rest_is_judged_as_a_whole() -> None:
    good, bad = source("link/wire.cpp", 100, 100), source("core/core.cpp", 0, 12)
    assert judge(CPP_PARTS, [KERNEL, SHIELD, good])[1]
    assert not judge(CPP_PARTS, [KERNEL, SHIELD, good, bad])[1]


def test_a_part_without_a_file_fails() -> None:
    assert not judge(CPP_PARTS, [SHIELD, REST])[1]
    assert not judge(PYTHON_PARTS, [])[1]


def test_the_reports_of_both_tools_are_read() -> None:
    gcovr = {
        "files": [
            {"filename": "a.cpp", "line_covered": 3, "line_total": 4, "branch_covered": 1, "branch_total": 2},
        ]
    }
    assert cpp_files(gcovr) == [File("a.cpp", Count(3, 4), Count(1, 2))]
    summary = {"covered_lines": 3, "num_statements": 4, "covered_branches": 1, "num_branches": 2}
    assert python_files({"files": {"a.py": {"summary": summary}}}) == [File("a.py", Count(3, 4), Count(1, 2))]
