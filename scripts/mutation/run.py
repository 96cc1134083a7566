"""The run over one source: baseline, every mutant, baseline again."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.mutation.build import BuildError, Toolchain, checked
from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.outcome import BASELINE, Limits, Outcome, Verdict, run_test
from scripts.mutation.switched import alone, switchable, switched

BASELINE_LIMITS = Limits(cpu_s=600, wall_s=1800.0)
# A mutant that needs more than this many times the baseline is endless for our purposes.
PATIENCE = 10


@dataclass(frozen=True)
class Target:
    """A source, and the test executable that is to notice every fault in it."""

    file: str  # below runtime/control/src, as in the waivers
    source: Path
    toolchain: Toolchain
    reporter: Path  # the compiled outcome_reporter.cpp


@dataclass(frozen=True)
class Tried:
    """One mutant and what became of it."""

    mutant: Mutant
    outcome: Outcome


@dataclass
class TargetRun:
    """Everything that happened to one source."""

    file: str
    tried: list[Tried] = field(default_factory=list)
    baseline_tests: int = 0
    seconds: float = 0.0

    def of(self, *verdicts: Verdict) -> list[Tried]:
        """Return what ended in one of these ways."""
        return [tried for tried in self.tried if tried.outcome.verdict in verdicts]


class BaselineError(Exception):
    """The test does not pass on the source as it is: nothing can be said about mutants."""


def run_target(
    target: Target, work: Path, jobs: int, progress: Callable[[int, int, Tried], None], only: str = ""
) -> TargetRun:
    """Try every mutant of the target whose id starts with `only`; raise BaselineError if the baseline is not green."""
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    bench = _Bench(target, work)
    before, limits = bench.baseline("before"), bench.limits
    mutants = [mutant for mutant in bench.mutants if mutant.id.startswith(only)]
    run = TargetRun(target.file, baseline_tests=before.tests)
    with ThreadPoolExecutor(jobs) as pool:
        for number, tried in enumerate(
            pool.map(lambda mutant: bench.tried(mutant, limits), mutants), start=1
        ):
            run.tried.append(tried)
            progress(number, len(mutants), tried)
    after = bench.baseline("after")
    if after.tests != before.tests:
        raise BaselineError(
            f"{target.file}: {before.tests} tests ran before the mutants and {after.tests} after them"
        )
    run.seconds = time.monotonic() - started
    return run


class _Bench:
    """The test executable with all mutants behind switches, and how to try one."""

    def __init__(self, target: Target, work: Path) -> None:
        self._target = target
        self._work = work
        self._source = target.source.read_bytes()
        self.mutants = mutants_of(self._source, target.source.stem)
        self.limits = BASELINE_LIMITS
        text = switched(self._source, target.source.name, switchable(self.mutants))
        self._executable = self._built(text, "switched")
        self._code = self._machine_code(self._source, "unchanged")

    def baseline(self, when: str) -> Outcome:
        """Run the tests with every switch off; they must pass."""
        used = _cpu_s()
        started = time.monotonic()
        outcome = run_test(self._executable, BASELINE, self._work / "baseline", self.limits)
        if outcome.verdict is not Verdict.SURVIVED:
            raise BaselineError(
                f"{self._target.file}: the test does not pass {when} the mutants ({outcome.verdict}): {outcome.detail}"
            )
        self.limits = Limits(
            cpu_s=max(3, round(PATIENCE * (_cpu_s() - used))),
            wall_s=max(600.0, 3 * PATIENCE * (time.monotonic() - started)),
        )
        return outcome

    def tried(self, mutant: Mutant, limits: Limits) -> Tried:
        """Run the tests for one mutant."""
        if not mutant.anchor.is_constant:
            executable = self._executable
        else:
            try:
                executable = self._built(alone(self._source, self._target.source.name, mutant), mutant.id)
            except BuildError as error:
                return Tried(mutant, Outcome(Verdict.NOT_BUILT, 0, False, str(error)))
        outcome = run_test(executable, mutant.number, self._work / mutant.id, limits)
        if executable != self._executable:
            executable.unlink()
        if outcome.verdict is Verdict.SURVIVED and self._is_equivalent(mutant):
            outcome = replace(outcome, verdict=Verdict.EQUIVALENT)
        return Tried(mutant, outcome)

    def _built(self, source: bytes, name: str) -> Path:
        file = self._work / f"{name}.cpp"
        file.write_bytes(source)
        object_file, executable = file.with_suffix(".o"), file.with_suffix(".test")
        tools = self._target.toolchain
        checked(tools.compiled(file, object_file), tools.folder)
        checked(tools.linked([object_file, self._target.reporter], executable), tools.folder)
        return executable

    def _is_equivalent(self, mutant: Mutant) -> bool:
        return self._machine_code(mutant.applied_to(self._source), mutant.id) == self._code

    def _machine_code(self, source: bytes, name: str) -> str:
        file = self._work / f"{name}.O2.cpp"
        file.write_bytes(source)
        output = file.with_suffix(".s")
        tools = self._target.toolchain
        checked(tools.compiled(file, output, "-O2", "-g0", "-S"), tools.folder)
        lines = output.read_text().splitlines()
        output.unlink()
        file.unlink()
        return "\n".join(line for line in lines if not line.lstrip().startswith((".file", ".ident")))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
