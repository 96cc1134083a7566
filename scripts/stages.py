"""Runs the stages of `make test`, cheap ones first, and says what each one took.

Every stage is a list of commands. Their output goes to build/logs/NN-NAME.log; the screen gets one line when
a stage starts and one when it ends, and the end of the log of a stage that fails. The first failure ends the
run, except that neighbouring `lint` stages are all looked at.

Example: `.venv/bin/python scripts/stages.py --tier quick`
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LOGS = ROOT / "build" / "logs"
TIERS = ("quick", "image", "robot", "full")
LOG_TAIL_LINES = 60
# Each is checked by itself: their test modules may share names.
PYTHON_ROOTS = (
    "runtime/holdfast",
    "runtime/tests",
    "ota/holdfast_ota",
    "ota/tests",
    "image/holdfast_image",
    "image/tests",
    "hil_tests",
    "ansible",
    "scripts",
)

Command = list[str]


@dataclass(frozen=True)
class Stage:
    """One step of the run: what it is called, what it does, and how much it costs."""

    name: str
    group: str
    headline: str
    tier: str
    commands: Callable[[], list[Command]]
    environment: dict[str, str] = field(default_factory=dict)
    at_once: bool = False
    """Whether its commands run side by side: those that bear another one beside them."""
    limit_s: float | None = None
    """After which one of its commands is taken for one that hangs, and killed."""


def tool(name: str, *arguments: str) -> Command:
    """Return the command line of a tool of the locked environment."""
    return [str(BIN / name), *arguments]


def files(*patterns: str) -> list[str]:
    """Return the repository's files that match, build output left out, as sorted relative paths."""
    found: set[str] = set()
    for pattern in patterns:
        found.update(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.is_file())
    return sorted(found)


def cpp_files() -> list[str]:
    """Return every C++ file of the repository."""
    return files("runtime/control/**/*.[ch]pp")


def shell_scripts() -> list[str]:
    """Return every file whose first line asks for sh or bash."""
    candidates = files(
        ".ci/*", "scripts/*", "image/**/*", "ansible/**/*", "hil_tests/**/*", "runtime/**/*", "ota/**/*"
    )
    return [name for name in candidates if _first_line(ROOT / name) in SHEBANGS]


SHEBANGS = {b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh", b"#!/usr/bin/env sh"}


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline(80).rstrip()


def jobs() -> str:
    """Return how many compilers may run at once."""
    return str(len(os.sched_getaffinity(0)))


def configure(folder: str, *definitions: str) -> Command:
    """Return the command that configures the C++ side with its tests in build/`folder`."""
    return [
        *("cmake", "-S", "runtime/control", "-B", f"build/{folder}", "-G", "Ninja"),
        *("-DHOLDFAST_TESTS=ON", f"-DPython3_EXECUTABLE={BIN / 'python'}", *definitions),
    ]


def build(folder: str, *targets: str) -> Command:
    """Return the command that builds targets, or everything, in build/`folder`."""
    chosen_targets = ("--target", *targets) if targets else ()
    return ["cmake", "--build", f"build/{folder}", "--parallel", jobs(), *chosen_targets]


def ctest(folder: str, *arguments: str) -> Command:
    """Return the command that runs the C++ tests of build/`folder`."""
    return [
        *("ctest", "--test-dir", f"build/{folder}", "--output-on-failure", "--no-tests=error"),
        *("--parallel", jobs(), "--output-junit", str(LOGS / f"{folder}.xml"), *arguments),
    ]


def cpp_stage() -> list[Command]:
    """Return the C++ tests, on top of what `uv sync` has built with the same options in the same folder."""
    return [configure("cpp", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"), build("cpp"), ctest("cpp")]


# Unoptimised: compiling is what these stages spend their time with.
UNOPTIMISED = ("-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O0 -g1")
THREADED_TESTS = (
    "core_test",
    "ipc_test",
    "rt_test",
    "safety_daemon_test",
    "safety_test",
    "shm_test",
    "wasm_test",
)


def address_stage() -> list[Command]:
    """Return every C++ test with memory errors and undefined behaviour looked for."""
    folder = "cpp-address"
    return [
        configure(folder, "-DHOLDFAST_SANITIZE=address,undefined", *UNOPTIMISED),
        build(folder),
        ctest(folder),
    ]


def thread_stage() -> list[Command]:
    """Return the C++ tests of what runs in several threads, with data races looked for."""
    folder = "cpp-thread"
    # Without the tests that run other executables than these.
    tests = ctest(folder, "--exclude-regex", "_NOT_BUILT$|^kinematics_reference$|^cycle_bench$")
    return [
        configure(folder, "-DHOLDFAST_SANITIZE=thread", *UNOPTIMISED),
        build(folder, *THREADED_TESTS),
        # Kernels that scatter mappings widely put them where gcc 12 and 13's ThreadSanitizer does not expect any.
        ["setarch", "--addr-no-randomize", *tests],
    ]


def tripwire_stage() -> list[Command]:
    """Return the real-time cycle, a million times, with everything counted that it must not do."""
    executable = "build/cpp/tests/tripwire/holdfast-tripwire"
    return [
        configure("cpp", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"),
        build("cpp", "holdfast-tripwire"),
        [executable, "--cycles", "1000000"],
    ]


def proof(module: str, *arguments: str) -> list[Command]:
    """Return a tool of this folder that builds, runs and judges by itself."""
    return [tool("python", "-m", f"scripts.{module}", *arguments)]


def format_stage() -> list[Command]:
    """Return the format checks of Python and C++."""
    return [
        tool("ruff", "format", "--check", "."),
        tool("clang-format", "--dry-run", "--Werror", *cpp_files()),
    ]


def mypy_stage() -> list[Command]:
    """Return one type check a root of Python code."""
    return [tool("mypy", root) for root in PYTHON_ROOTS if any((ROOT / root).rglob("*.py"))]


def clang_tidy_stage() -> list[Command]:
    """Return the C++ findings, over the files of the test build."""
    options = ("-quiet", "-p", "build/cpp", "-j", jobs(), "-clang-tidy-binary", str(BIN / "clang-tidy"))
    return [
        configure("cpp", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"),
        tool("run-clang-tidy.py", *options, *files("runtime/control/**/*.cpp")),
    ]


VIRTUAL_TIME = "hil_tests/virtual_time"
# It compiles mutants for minutes; the tool that it is about runs in the same tier.
MUTATION_TESTS = "scripts/tests/test_mutation.py"


def pytest(name: str, *arguments: str) -> Command:
    """Return a pytest run that leaves a JUnit file beside its log."""
    return tool("pytest", f"--junit-xml={LOGS / name}.xml", *arguments)


def python_stage() -> list[Command]:
    """Return all Python tests, in two halves that take about as long: most of them wait for processes they start."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    robots = ("runtime/tests", "ota/tests")
    # pytest ignores no folder of `testpaths`: whatever the first half does not name is named here.
    others = [folder for folder in settings["testpaths"] if folder not in robots]
    # A test that hangs fails, with what each thread waits for. The slowest takes half a minute.
    limit = "--timeout=300"
    return [
        pytest("python-robots", limit, *robots),
        pytest("python-others", limit, *others, f"--ignore={MUTATION_TESTS}"),
    ]


STAGES: tuple[Stage, ...] = (
    Stage("format", "lint", "Format of Python and C++", "quick", format_stage),
    Stage("ruff", "lint", "Findings in Python", "quick", lambda: [tool("ruff", "check", ".")]),
    Stage(
        "shellcheck", "lint", "Findings in shell scripts", "quick", lambda: [["shellcheck", *shell_scripts()]]
    ),
    Stage("mypy", "lint", "Types of Python, strict", "quick", mypy_stage),
    Stage(
        "ansible-lint",
        "lint",
        "Findings in roles and playbooks",
        "quick",
        lambda: [tool("ansible-lint", "--offline", "--strict", "--project-dir", "ansible", "ansible")],
    ),
    Stage("cpp", "cpp", "C++ build and tests", "quick", cpp_stage),
    Stage(
        "python",
        "python",
        "Python tests",
        "quick",
        python_stage,
        at_once=True,
        limit_s=45 * 60,
    ),
    Stage("image", "image", "Image build", "image", lambda: [tool("holdfast", "image", "build")]),
    Stage(
        "virtual-time",
        "hil",
        "Deadlines and the robot without its network, in virtual time",
        "image",
        lambda: [
            pytest("virtual-deadlines", f"{VIRTUAL_TIME}/test_deadlines.py"),
            pytest("virtual-offline", f"{VIRTUAL_TIME}/test_offline.py"),
        ],
        at_once=True,
    ),
    Stage(
        "virtual-faults",
        "hil",
        "Faults in virtual time, the same in each run",
        "robot",
        lambda: [pytest("virtual-faults", f"{VIRTUAL_TIME}/test_faults.py")],
    ),
    Stage(
        "hil",
        "hil",
        "Suite on the booted image",
        "robot",
        lambda: [pytest("hil", "hil_tests", "--ignore=hil_tests/tests", "--ignore=hil_tests/virtual_time")],
    ),
    Stage(
        "test-of-tests",
        "hil",
        "Mistakes made on purpose are noticed",
        "full",
        lambda: [pytest("test-of-tests", f"{VIRTUAL_TIME}/test_of_the_tests.py")],
    ),
    Stage(
        "image-arm",
        "image",
        "Images for ARM boards",
        "full",
        lambda: [
            tool("holdfast", "image", "build", "--board", board) for board in ("qemu-arm64", "pi", "jetson")
        ],
    ),
    Stage("clang-tidy", "lint", "Findings in C++", "full", clang_tidy_stage),
    Stage(
        "cpp-address",
        "cpp",
        "C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer",
        "full",
        address_stage,
        {"LSAN_OPTIONS": f"suppressions={ROOT / 'runtime/control/tests/leaks.supp'}"},
    ),
    Stage(
        "cpp-thread",
        "cpp",
        "C++ tests under ThreadSanitizer",
        "full",
        thread_stage,
    ),
    Stage("tripwire", "proof", "A million cycles: heap, page faults, system calls", "full", tripwire_stage),
    Stage(
        "mutation",
        "proof",
        "Mutants of safety kernel and shield",
        "full",
        lambda: [pytest("mutation-tests", MUTATION_TESTS), *proof("mutation")],
    ),
    Stage("coverage", "proof", "Coverage of C++ and Python", "full", lambda: proof("measure_coverage")),
    Stage("fuzz", "proof", "Fuzzers, a minute each", "full", lambda: proof("fuzz", "--seconds", "60")),
)


@dataclass(frozen=True)
class Outcome:
    """How one stage ended."""

    stage: Stage
    passed: bool
    seconds: float


def run_stage(number: int, stage: Stage, logs: Path) -> Outcome:
    """Run the commands of a stage up to the first that fails; report on the screen and in the stage's log."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{number:02d}-{stage.name}.log"
    say(f"[{number:2d}] {stage.headline} ...")
    started = time.monotonic()
    if stage.at_once:
        passed = _all_at_once(stage, log)
    else:
        with log.open("wb") as stream:
            passed = all(_succeeds(command, stage, stream.fileno()) for command in stage.commands())
    seconds = time.monotonic() - started
    if not passed:
        say("\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]))
    say(f"[{number:2d}] {'passed' if passed else 'FAILED'} in {seconds:.1f} s  ({os.path.relpath(log)})")
    return Outcome(stage, passed, seconds)


def _all_at_once(stage: Stage, log: Path) -> bool:
    """Run all commands of a stage side by side; `log` gets what each of them said, one after the other."""
    commands = stage.commands()
    with ExitStack() as stack, log.open("wb") as together:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        pool = stack.enter_context(ThreadPoolExecutor(len(commands)))
        passed = list(pool.map(lambda c, o: _succeeds(c, stage, o.fileno()), commands, outputs))
        # Those that failed last: the end of the log is what the screen gets.
        for _, output in sorted(zip(passed, outputs, strict=True), key=lambda run: not run[0]):
            output.seek(0)
            shutil.copyfileobj(output, together)
    return all(passed)


def _succeeds(command: Command, stage: Stage, log: int) -> bool:
    os.write(log, f"$ {' '.join(command)}\n".encode())
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **stage.environment}
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=stage.limit_s,
            check=False,
        )
        return ran.returncode == 0
    except subprocess.TimeoutExpired as hung:
        os.write(log, f"killed: it was not done after {hung.timeout:.0f} s\n".encode())
        return False
    except FileNotFoundError as error:
        os.write(
            log,
            f"{error.filename}: not installed; `make` installs what scripts/packages.txt lists\n".encode(),
        )
        return False


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def chosen(tier: str, only: Sequence[str], table: Sequence[Stage] = STAGES) -> list[Stage]:
    """Return the stages of a tier, or those named by stage or group whatever their tier."""
    if only:
        return [stage for stage in table if stage.name in only or stage.group in only]
    return [stage for stage in table if TIERS.index(stage.tier) <= TIERS.index(tier)]


def run(stages: Sequence[Stage], logs: Path = LOGS) -> list[Outcome]:
    """Run the stages in order up to the first that fails; neighbouring lint stages are all looked at."""
    outcomes: list[Outcome] = []
    for number, stage in enumerate(stages, start=1):
        failed = any(not outcome.passed for outcome in outcomes)
        if failed and (stage.group != "lint" or outcomes[-1].stage.group != "lint"):
            break
        outcomes.append(run_stage(number, stage, logs))
    return outcomes


def main(arguments: Sequence[str] | None = None, table: Sequence[Stage] = STAGES, logs: Path = LOGS) -> int:
    """Run the chosen stages of the table; 0 if all passed, 1 if one failed."""
    known = sorted({name for stage in table for name in (stage.name, stage.group)})
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tier",
        choices=TIERS,
        default="full",
        help="quick: no image, no VM; image: and the image; robot: and the suite on it; full: everything",
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=known, metavar="NAME", help=", ".join(known)
    )
    options = parser.parse_args(arguments)

    stages = chosen(options.tier, options.only, table)
    tier = "any" if options.only else options.tier
    say(f"{len(stages)} stages, tier {tier}, {jobs()} jobs; logs in build/logs")
    outcomes = run(stages, logs)

    say("")
    for outcome in outcomes:
        say(
            f"  {outcome.stage.name:14} {'passed' if outcome.passed else 'FAILED':7} {outcome.seconds:7.1f} s"
        )
    for stage in stages[len(outcomes) :]:
        say(f"  {stage.name:14} not run")
    total = sum(outcome.seconds for outcome in outcomes)
    passed = len(outcomes) == len(stages) and all(outcome.passed for outcome in outcomes)
    say(f"{'all stages passed' if passed else 'FAILED'} in {total / 60:.1f} min")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
