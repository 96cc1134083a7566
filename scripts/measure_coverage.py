"""Line and branch coverage of C++ and Python, one line a part; 1 if a part is below its gate.

C++ is built with gcc's counters in build/cpp-coverage and its tests are run; Python's tests run under coverage.py with
the processes they start. HTML: build/coverage/cpp/index.html and build/coverage/python/index.html.

Example: `.venv/bin/python -m scripts.measure_coverage --only cpp`
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.stages import BIN, ROOT, Command, build, configure, ctest, jobs, say, tool

FOLDER = "cpp-coverage"
OUTPUT = ROOT / "build" / "coverage"
LOG = ROOT / "build" / "logs" / "coverage.log"
# Inlined code has no lines of its own; counters of several threads must not be lost.
OPTIONS = ("-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O0 -g1 --coverage -fprofile-update=atomic")
SOURCES = "runtime/control/src/"


@dataclass(frozen=True)
class Count:
    """Covered and all, of lines or of branches."""

    covered: int
    total: int

    @property
    def percent(self) -> float:
        """100 if there is nothing to cover."""
        return 100.0 if self.total == 0 else 100.0 * self.covered / self.total


@dataclass(frozen=True)
class File:
    """What the tests ran of one source."""

    name: str
    lines: Count
    branches: Count


@dataclass(frozen=True)
class Part:
    """A share of the sources with the percentages it must reach; None: no gate."""

    name: str
    holds: Callable[[str], bool]
    lines: float
    branches: float | None = None


def is_kernel(name: str) -> bool:
    """Tell whether the file is the decision of the safety daemon."""
    return name == f"{SOURCES}safety/kernel.cpp"


def is_shield(name: str) -> bool:
    """Tell whether the file is of the filter between controllers and drives."""
    return name.startswith(f"{SOURCES}shield/")


CPP_PARTS = (
    Part("safety kernel", is_kernel, 100.0, 100.0),
    Part("shield", is_shield, 100.0, 100.0),
    Part("rest of C++", lambda name: not is_kernel(name) and not is_shield(name), 90.0),
)
PYTHON_PARTS = (Part("Python", lambda name: True, 95.0),)


def summed(counts: Iterable[Count]) -> Count:
    """Return the sum of counts."""
    listed = list(counts)
    return Count(sum(count.covered for count in listed), sum(count.total for count in listed))


def judge(parts: Sequence[Part], files: Sequence[File]) -> tuple[list[str], bool]:
    """Return one line a part, and whether every part reaches its gate. A part without a file does not."""
    lines, passed = [], True
    for part in parts:
        held = [file for file in files if part.holds(file.name)]
        of_lines, of_branches = summed(f.lines for f in held), summed(f.branches for f in held)
        good = bool(held) and of_lines.percent >= part.lines
        good = good and (part.branches is None or of_branches.percent >= part.branches)
        gate = f"{part.lines:g} %" + ("" if part.branches is None else f", branches {part.branches:g} %")
        lines.append(
            f"{part.name:14} lines {of_lines.percent:6.2f} % ({of_lines.covered}/{of_lines.total})  "
            f"branches {of_branches.percent:6.2f} % ({of_branches.covered}/{of_branches.total})  "
            f"{'passed' if good else 'BELOW ITS GATE'} (lines {gate})"
        )
        passed = passed and good
    return lines, passed


def cpp_files(summary: Mapping[str, object]) -> list[File]:
    """Read gcovr's JSON summary."""
    listed = summary["files"]
    assert isinstance(listed, list)  # noqa: S101  gcovr's own format
    return [
        File(
            entry["filename"],
            Count(entry["line_covered"], entry["line_total"]),
            Count(entry["branch_covered"], entry["branch_total"]),
        )
        for entry in listed
    ]


def python_files(report: Mapping[str, object]) -> list[File]:
    """Read coverage.py's JSON report."""
    listed = report["files"]
    assert isinstance(listed, dict)  # noqa: S101  coverage.py's own format
    return [
        File(
            name,
            Count(entry["summary"]["covered_lines"], entry["summary"]["num_statements"]),
            Count(entry["summary"]["covered_branches"], entry["summary"]["num_branches"]),
        )
        for name, entry in listed.items()
    ]


def measure_cpp() -> list[File]:
    """Build, test and count the C++ side."""
    for counters in (ROOT / "build" / FOLDER).rglob("*.gcda"):
        counters.unlink()
    html, summary = OUTPUT / "cpp", OUTPUT / "cpp.json"
    html.mkdir(parents=True, exist_ok=True)
    _run(configure(FOLDER, *OPTIONS))
    _run(build(FOLDER))
    _run(ctest(FOLDER))
    # A branch that only an exception takes is the compiler's, and so is one that it proved to be dead.
    options = (
        "--exclude-throw-branches",
        "--exclude-unreachable-branches",
        "--gcov-ignore-parse-errors=negative_hits.warn",
    )
    _run(
        tool(
            *("gcovr", "--root", str(ROOT), "--filter", SOURCES, *options, "-j", jobs(), f"build/{FOLDER}"),
            *("--json-summary", str(summary), "--html-details", str(html / "index.html")),
        )
    )
    return cpp_files(json.loads(summary.read_text()))


def measure_python() -> list[File]:
    """Run the Python tests and count what they and their processes ran."""
    report = OUTPUT / "python.json"
    for data in OUTPUT.glob("python.data*"):
        data.unlink()
    environment = {"COVERAGE_FILE": str(OUTPUT / "python.data")}
    _run(tool("coverage", "run", "-m", "pytest", "-q"), environment)
    _run(tool("coverage", "combine", "--quiet"), environment)
    _run(tool("coverage", "json", "--quiet", "-o", str(report)), environment)
    _run(tool("coverage", "html", "--quiet", "-d", str(OUTPUT / "python")), environment)
    return python_files(json.loads(report.read_text()))


class CommandError(Exception):
    """A command failed; the end of the log says why."""


def _run(command: Command, environment: Mapping[str, str] | None = None) -> None:
    with LOG.open("a") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        stream.flush()
        given = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **(environment or {})}
        done = subprocess.run(command, cwd=ROOT, env=given, stdout=stream, stderr=stream, check=False)
    if done.returncode != 0:
        raise CommandError(f"{command[0]} failed with code {done.returncode}; see {os.path.relpath(LOG)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print one line a part, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("cpp", "python"), help="only this language")
    options = parser.parse_args(arguments)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    measured = {"cpp": (CPP_PARTS, measure_cpp), "python": (PYTHON_PARTS, measure_python)}
    passed = True
    for language, (parts, measure) in measured.items():
        if options.only not in (None, language):
            continue
        try:
            lines, good = judge(parts, measure())
        except CommandError as error:
            say(f"coverage of {language}: {error}")
            return 1
        say("\n".join([*lines, f"  build/coverage/{language}/index.html"]))
        passed = passed and good
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
