"""Two runs of one scenario side by side: each figure, its change, and the limits that broke in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.report.limits import Check, check
from holdfast_bench.report.runs import ResultError, Run

_NO_MEASUREMENT = ("real_s", "virtual_s", "seed", "processors", "controller.", "machine.")
"""Numbers that say how a run was made, or how fast this machine is: no figures of the robot."""


@dataclass(frozen=True)
class Row:
    """One figure of two runs; None where a run does not have it."""

    figure: str
    a: float | None
    b: float | None

    @property
    def change(self) -> float | None:
        """B less A."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def percent(self) -> float | None:
        """The change in percent of A; None where A is 0."""
        return None if self.change is None or not self.a else 100.0 * self.change / self.a


@dataclass(frozen=True)
class Comparison:
    """What changed from run A to run B."""

    scenario: str
    clock: str
    a: Path
    b: Path
    rows: list[Row]
    broken: list[Check]
    """B's figures over a limit that A did not break."""
    error: str | None
    """Why B did not come to its end."""

    @property
    def is_worse(self) -> bool:
        """Whether B failed, or breaks a limit that A did not break."""
        return bool(self.error is not None or self.broken)


def measured(run: Run) -> dict[str, float]:
    """Return the figures of a run that say something about the robot."""
    return {key: value for key, value in run.figures().items() if not key.startswith(_NO_MEASUREMENT)}


def compare_runs(a: Run, b: Run) -> Comparison:
    """Compare two runs of one scenario on one clock.

    Raises:
        ResultError: they are of different scenarios, clocks or benches, or one of them cannot be judged.
    """
    if a.scenario != b.scenario:
        raise ResultError(
            f"{a.file} is of the scenario '{a.scenario}', {b.file} of '{b.scenario}': they measure different things"
        )
    if a.header.clock != b.header.clock:
        raise ResultError(
            f"{a.file} was measured in {a.header.clock} time, {b.file} in {b.header.clock} time: their figures do "
            "not compare"
        )
    if None not in (a.header.bench, b.header.bench) and _bench(a) != _bench(b):
        raise ResultError(
            f"{a.file} is of the bench {_bench(a)}, {b.file} of {_bench(b)}: they are different robots; compare runs "
            "of one bench"
        )
    before, after = measured(a), measured(b)
    rows = [Row(key, before.get(key), after.get(key)) for key in {**after, **before}]
    broken_before = {each.key for each in check(a) if not each.holds}
    broken = [each for each in check(b) if not each.holds and each.key not in broken_before]
    return Comparison(b.scenario, b.header.clock, a.file, b.file, rows, broken, b.header.error)


def compare_all(a: Mapping[str, Run], b: Mapping[str, Run]) -> list[Comparison]:
    """Compare each scenario that both sides have.

    Raises:
        ResultError: they have none in common, or as `compare_runs`.
    """
    common = [name for name in b if name in a]
    if not common:
        raise ResultError(
            f"nothing to compare: one side is of {_listed(a)}, the other of {_listed(b)}; give two runs of one scenario"
        )
    return [compare_runs(a[name], b[name]) for name in common]


def _bench(run: Run) -> str:
    return f"'{run.header.bench}' ({run.header.back_end})"


def _listed(runs: Mapping[str, Run]) -> str:
    return ", ".join(f"'{name}' ({run.file})" for name, run in runs.items())
