"""Events of a run as strands: each one that the scenario caused, with what the robot did from then on.

An event with `by = "scenario"` begins a strand; those that follow, up to the next one, are the robot's reaction to it.
What comes before the first is a strand of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast_bench.report.runs import Event

_BY = "by"
_SCENARIO = "scenario"
_TITLE_LENGTH = 28


@dataclass(frozen=True)
class Moment:
    """One event with its number on the page, and how long after the strand's beginning it came."""

    number: int
    t_s: float
    event: str
    after_s: float
    details: str
    is_caused: bool
    """Whether the scenario caused it."""


@dataclass(frozen=True)
class Strand:
    """What was caused and the reaction to it."""

    title: str
    moments: list[Moment]

    @property
    def short_title(self) -> str:
        """The title as far as a drawing has room for it."""
        return self.title if len(self.title) <= _TITLE_LENGTH else f"{self.title[: _TITLE_LENGTH - 1]}…"


def strands(events: Sequence[Event]) -> list[Strand]:
    """Sort events by time and part them at those that the scenario caused."""
    parted: list[Strand] = []
    began_s = 0.0
    for number, event in enumerate(sorted(events, key=lambda event: event.t_s), start=1):
        is_caused = event.details.get(_BY) == _SCENARIO
        details = _in_words(event.details)
        if is_caused or not parted:
            began_s = event.t_s
            title = ": ".join(filter(None, [event.event, details])) if is_caused else "before any event"
            parted.append(Strand(title, []))
        parted[-1].moments.append(
            Moment(number, event.t_s, event.event, event.t_s - began_s, details, is_caused)
        )
    return parted


def _in_words(details: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in details.items() if key != _BY)
