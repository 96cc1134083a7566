"""One process per mutant, and what became of it.

The process is started for the mutant HOLDFAST_MUTANT and writes to the file named by HOLDFAST_MUTANT_REPORT: `start N`,
`reached N` when the mutated place runs for the first time, `tests N` when the tests are known, `end RAN FAILED` when
they are over (runtime/control/tests/mutation/outcome_reporter.cpp). An outcome that this does not prove is UNPROVED,
whatever the exit code says: a failure of a test that never reached the mutant is nothing that the mutant did.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MEMORY_BYTES = 4 << 30


class Verdict(StrEnum):
    """How the run of one mutant ended."""

    KILLED = "killed"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"  # survived, and optimised to the same machine code
    NOT_BUILT = "not built"
    UNPROVED = "unproved"


@dataclass(frozen=True)
class Limits:
    """What one mutant may use before it counts as endless."""

    cpu_s: int
    wall_s: float


@dataclass(frozen=True)
class Outcome:
    """What a test process did: the verdict, how many tests ran, whether the mutant did, and its last words."""

    verdict: Verdict
    tests: int
    reached: bool
    detail: str


# No mutant has this number: the source as it is.
BASELINE = 0


def run_test(executable: Path, number: int, files: Path, limits: Limits) -> Outcome:
    """Run the test for one mutant, or for none (BASELINE), in a process of its own; `files` is its report's name."""
    report, output = files.with_suffix(".report"), files.with_suffix(".log")
    report.unlink(missing_ok=True)
    command = [
        *("prlimit", f"--cpu={limits.cpu_s}:{limits.cpu_s + 5}", f"--as={MEMORY_BYTES}", "--core=0"),
        *(str(executable), "--gtest_fail_fast", "--gtest_brief=1", "--gtest_color=no"),
    ]
    environment = {**os.environ, "HOLDFAST_MUTANT": str(number), "HOLDFAST_MUTANT_REPORT": str(report)}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=executable.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            code = process.wait(limits.wall_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = -signal.SIGXCPU
    return _judge(code, number, _reported(report), output)


def _judge(code: int, number: int, said: dict[str, str], output: Path) -> Outcome:
    expected = int(said.get("tests", "-1"))
    reached = said.get("reached") == str(number)
    ran, failed = (int(word) for word in said.get("end", "-1 -1").split())

    def outcome(verdict: Verdict, detail: str) -> Outcome:
        return Outcome(verdict, expected, reached, detail)

    if said.get("start") != str(number):
        return outcome(Verdict.UNPROVED, f"said {said}, exit code {code}\n{_last_lines(output)}")
    if code == 0 and failed == 0 and ran == expected > 0:
        return outcome(Verdict.SURVIVED, "" if reached or number == BASELINE else "no test reaches it")
    if reached and code == -signal.SIGXCPU:
        return outcome(Verdict.TIMED_OUT, _last_lines(output))
    if reached and code < 0:
        return outcome(Verdict.CRASHED, f"{signal.Signals(-code).name}\n{_last_lines(output)}")
    if reached and code == 1 and failed > 0:
        return outcome(Verdict.KILLED, _first_failure(output))
    text = f"exit code {code}, {ran} of {expected} tests ran, {failed} failed, mutant reached: {reached}"
    return outcome(Verdict.UNPROVED, f"{text}\n{_last_lines(output)}")


def _reported(report: Path) -> dict[str, str]:
    if not report.exists():
        return {}
    pairs = (line.partition(" ") for line in report.read_text().splitlines())
    return {key: value for key, _space, value in pairs}


def _last_lines(output: Path, count: int = 5) -> str:
    return "\n".join(output.read_text(errors="replace").splitlines()[-count:])


def _first_failure(output: Path) -> str:
    lines = output.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith("[  FAILED  ]")), "")
