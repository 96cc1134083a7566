"""Events of a run as strands: each fault with what the robot did from then on.

An event of the name `fault` begins a strand (`what` says which); those that follow, up to the next fault, are the
robot's reaction to it. What comes before the first fault is a strand of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast_bench.report.runs import Event

FAULT = "fault"
_TITLE_LENGTH = 28


@dataclass(frozen=True)
class Moment:
    """One event with its number on the page, and how long after the strand's beginning it came."""

    number: int
    t_s: float
    event: str
    after_s: float
    details: str

    @property
    def is_fault(self) -> bool:
        """Whether the bench caused it."""
        return self.event == FAULT


@dataclass(frozen=True)
class Strand:
    """A fault and the reaction to it."""

    title: str
    moments: list[Moment]

    @property
    def short_title(self) -> str:
        """The title as far as a drawing has room for it."""
        return self.title if len(self.title) <= _TITLE_LENGTH else f"{self.title[: _TITLE_LENGTH - 1]}…"


def strands(events: Sequence[Event]) -> list[Strand]:
    """Sort events by time and part them at the faults."""
    parted: list[Strand] = []
    began_s = 0.0
    for number, event in enumerate(sorted(events, key=lambda event: event.t_s), start=1):
        if event.event == FAULT or not parted:
            began_s = event.t_s
            title = str(event.details.get("what", FAULT)) if event.event == FAULT else "before any fault"
            parted.append(Strand(title, []))
        parted[-1].moments.append(
            Moment(number, event.t_s, event.event, event.t_s - began_s, _in_words(event.details))
        )
    return parted


def _in_words(details: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in details.items())
