"""Mutation run of the safety kernel and the shield; 0 if every survivor is explained.

Builds the tests in build/cpp-mutation, writes build/mutation/report.json and prints a table.

Example: `.venv/bin/python -m scripts.mutation --file safety/kernel.cpp --only kernel-05`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.mutation.build import BuildError, checked, toolchain
from scripts.mutation.report import conclude, table, write_json
from scripts.mutation.run import BaselineError, Target, Tried, run_target
from scripts.mutation.waivers import load_waivers
from scripts.stages import ROOT, build, configure, jobs, say

CONTROL = ROOT / "runtime" / "control"
FOLDER = "cpp-mutation"
BUILD = ROOT / "build" / FOLDER
WORK = ROOT / "build" / "mutation"
WAIVERS = CONTROL / "tests" / "mutation" / "waivers.toml"
REPORTER = CONTROL / "tests" / "mutation" / "outcome_reporter.cpp"
# The executable that is to find the faults of a source. Of the shield it is the filter of one channel; the survivors
# among the steps with a jerk limit and the rules between channels are not explained yet.
TESTS = {
    "safety/kernel.cpp": "safety_kernel_test",
    "shield/shield.cpp": "shield_test",
}
# Mutants are compiled far more often than they run.
OPTIONS = ("-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O2 -g0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen mutants; 0 if every survivor is explained, 1 if not, 2 if nothing can be said."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", action="append", choices=TESTS, help="only this source (may be repeated)")
    parser.add_argument("--only", default="", metavar="ID", help="only mutants whose id starts with this")
    parser.add_argument("--jobs", type=int, default=int(jobs()), help="mutants at once")
    options = parser.parse_args(arguments)
    files = options.file or list(TESTS)
    try:
        waivers = load_waivers(WAIVERS)
        runs = [
            run_target(target, WORK / Path(target.file).stem, options.jobs, _progress, options.only)
            for target in _targets(files)
        ]
    except (BaselineError, BuildError, ValueError) as error:
        say(f"mutation: {error}")
        return 2
    conclusion = conclude(runs, waivers, whole=not options.only)
    write_json(WORK / "report.json", runs, conclusion)
    say(table(runs, conclusion))
    return 0 if conclusion.passed else 1


def _targets(files: Sequence[str]) -> list[Target]:
    """Build the tests once, and the object that reports from inside each mutant's test."""
    checked(configure(FOLDER, *OPTIONS), ROOT)
    checked(build(FOLDER, *(TESTS[file] for file in files)), ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    targets = []
    for file in files:
        source = CONTROL / "src" / file
        tools = toolchain(BUILD, source, TESTS[file])
        reporter = WORK / "outcome_reporter.o"
        checked(tools.compiled(REPORTER, reporter), BUILD)
        targets.append(Target(file, source, tools, reporter))
    return targets


def _progress(number: int, total: int, tried: Tried) -> None:
    mutant = tried.mutant
    say(f"[{number:4d}/{total}] {mutant.id} line {mutant.line}: {tried.outcome.verdict.value}")


if __name__ == "__main__":
    sys.exit(main())
