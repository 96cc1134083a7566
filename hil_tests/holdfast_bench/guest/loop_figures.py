"""What the loop did between two moments: cycles, missed deadlines, and how long each part of a cycle took."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.layout import Layout, SegmentReader, summarise
from holdfast.status import PHASES, missed_deadlines

_HISTOGRAMS = ("wake", "cycle", "controller", *PHASES)


class LoopFigures:
    """Counts from the moment it is made."""

    def __init__(self, segment: SegmentReader, layout: Layout) -> None:
        self._segment = segment
        self._names = layout.counter_names
        self._start = segment.read().copy()
        self._bins = {name: segment.bins(name) for name in _HISTOGRAMS}

    @property
    def first_cycle(self) -> int:
        """The cycle at which counting began."""
        return int(self._start["cycle"])

    def until_now(self) -> dict[str, Any]:
        """Return cycles, missed, counters that grew, and p50, p99 and max in µs (upper edges of 1 µs bins).

        `wake_us` is the latency of the wake-up, `cycle_us` the whole cycle, `phases_us` each of its phases,
        `controller_us` a controller's tick.
        """
        end = self._segment.read().copy()
        grown = {
            name: int(end["counters"][index]) - int(self._start["counters"][index])
            for index, name in enumerate(self._names)
        }
        took = {name: _summary(bins) for name, bins in self._grown_bins().items()}
        return {
            "cycles": int(end["cycle"]) - self.first_cycle,
            "missed": missed_deadlines(grown),
            "wake_us": took["wake"],
            "cycle_us": took["cycle"],
            "phases_us": {phase: took[phase] for phase in PHASES},
            "controller_us": took["controller"],
            "counters": {name: value for name, value in grown.items() if value},
        }

    def histograms(self) -> dict[str, dict[str, int]]:
        """Return what is behind the figures: counts of the bins that were hit, by their upper edge in µs.

        The last bin takes all above the range: "inf".
        """
        return {
            name: {
                "inf" if index == len(bins) - 1 else str(index + 1): int(bins[index])
                for index in map(int, np.flatnonzero(bins))
            }
            for name, bins in self._grown_bins().items()
        }

    def _grown_bins(self) -> dict[str, NDArray[np.uint64]]:
        return {name: self._segment.bins(name) - before for name, before in self._bins.items()}


def _summary(bins: NDArray[np.uint64]) -> dict[str, float | None]:
    """Percentiles of an interval; its maximum is the upper edge of the highest bin that was hit."""
    hit = np.flatnonzero(bins)
    return summarise(bins, (int(hit[-1]) + 1) * 1000 if len(hit) else 0).as_dict()
