"""Edges out of the probe's events: a counter that wraps becomes nanoseconds, and nothing missing goes unseen."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_bench.probe.errors import ProbeLossError
from holdfast_bench.probe.firmware import table
from holdfast_bench.probe.protocol import COUNTER_MODULUS, Event

_LOST = {
    "ring": "edges came faster than the probe could send them, and its ring overflowed",
    "marks": "the probe stood still for so long that its time stamps became ambiguous",
}


@dataclass(frozen=True)
class Edge:
    """One channel changed its level."""

    channel: str
    rising: bool
    time_ns: int
    """Since the capture was armed; a multiple of the probe's tick. Seen at most two ticks late, never early."""


class Capture:
    """What one `arm` brought so far, from its start event on."""

    def __init__(self, channels: tuple[str, ...], tick_ns: int, start: Event) -> None:
        self._channels = channels
        self._tick_ns = tick_ns
        self._counter = start.counter()
        self._levels = start.levels()
        self._ticks = 0
        self._edges: list[Edge] = []

    def feed(self, event: Event) -> None:
        """Take an edge, mark or lost.

        Raises:
            ProbeLossError: the probe lost edges.
        """
        if event.kind == "lost":
            raise ProbeLossError(_LOST.get(event.fields[0], f"the probe lost edges: {event.fields[0]}"))
        counter = event.counter()
        # Time marks come every MARK_MS, so that less than half a wrap lies between two events.
        self._ticks += (counter - self._counter) % COUNTER_MODULUS
        self._counter = counter
        if event.kind == "edge":
            self._take(event.levels())

    def edges(self) -> list[Edge]:
        """Return the edges since the last call, in order of time."""
        edges, self._edges = self._edges, []
        return edges

    def _take(self, levels: int) -> None:
        changed = levels ^ self._levels
        self._levels = levels
        for bit, channel in enumerate(table.CHANNELS):
            if channel in self._channels and changed >> bit & 1:
                self._edges.append(Edge(channel, bool(levels >> bit & 1), self._ticks * self._tick_ns))
