"""The limits that decide a scenario's verdict, in one table; without limits a scenario is measured, never passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from holdfast_bench import (
    boot,
    data_writes,
    deadlines,
    deadlines_loaded,
    estop_1000,
    power_cut,
    update_cut,
    update_writes,
)
from holdfast_bench.report.runs import ResultError, Run

Verdict = Literal["passed", "failed", "measured"]


@dataclass(frozen=True)
class Limit:
    """The most that a figure may be; a `*` in the key stands for each name there."""

    key: str
    at_most: float
    of_deadlines: bool = False
    """Judged only where deadlines are kept: not on a virtual machine in real time."""


_UNITS = {"us": "µs", "ns": "ns", "ms": "ms", "s": "s"}
_MISSED = Limit("missed", 0, of_deadlines=True)
_LOOP = (_MISSED, Limit("wake_us.max", 20))
LIMITS: Mapping[str, tuple[Limit, ...]] = {
    boot.NAME: (Limit("loop_s", 12), Limit("used_mib", 350)),
    deadlines.NAME: _LOOP,
    deadlines_loaded.NAME: (*_LOOP, Limit("cycle_us.max", 250)),
    "offline-hour": (_MISSED,),
    "offline-5min": (_MISSED,),
    "ollama-gone": (_MISSED,),
    power_cut.NAME: (Limit("lost", 0),),
    data_writes.NAME: (Limit("lost", 0),),
    update_cut.NAME: (Limit("lost", 0),),
    update_writes.NAME: (Limit("broken", 0),),
    estop_1000.NAME: (Limit("paths.*.over_limit", 0), Limit("void", 0)),
}


@dataclass(frozen=True)
class Check:
    """One figure beside its limit; a figure of nothing (None) does not hold."""

    key: str
    value: float | None
    at_most: float

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limit."""
        return self.value is not None and self.value <= self.at_most


def check(run: Run) -> list[Check]:
    """Set each limited figure of a run beside its limit; one that did not come to its end has none.

    Raises:
        ResultError: a figure that has a limit is not there or is no number.
    """
    if run.header.error is not None:
        return []
    return [
        Check(key, run.number(key), limit.at_most)
        for limit in LIMITS.get(run.scenario, ())
        if run.judges_deadlines or not limit.of_deadlines
        for key in _expand(run, limit.key)
    ]


def verdict(run: Run, checks: list[Check]) -> Verdict:
    """Return what a run and its checks come to."""
    if run.header.error is not None:
        return "failed"
    if not checks:
        return "measured"
    return "passed" if all(each.holds for each in checks) else "failed"


def limit_of(scenario: str, key: str) -> float | None:
    """Return the limit of one figure, None where it has none."""
    return next((limit.at_most for limit in LIMITS.get(scenario, ()) if limit.key == key), None)


def unit(key: str) -> str:
    """Return the unit that a figure's name carries."""
    words = [word for part in key.split(".") for word in part.split("_")]
    return next((_UNITS[word] for word in reversed(words) if word in _UNITS), "")


def _expand(run: Run, key: str) -> list[str]:
    head, star, tail = key.partition(".*.")
    if not star:
        return [key]
    names = run.value(head)
    if not isinstance(names, Mapping) or not names:
        raise ResultError(f"{run.file}: the key '{head}' names nothing that could be judged")
    return [f"{head}.{name}.{tail}" for name in names]
