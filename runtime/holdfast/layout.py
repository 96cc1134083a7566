"""The shared-memory segments of the core and the safety daemon, read from Python.

The layout is declared once, in runtime/control/src/shm/layout.hpp. The numpy dtypes here are made from what
`holdfast-control --print-layout` prints; a segment whose magic, version or size differs is refused.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import UnreachableError
from holdfast.places import executable

_READ_ATTEMPTS = 8
_NS_PER_US = 1000


@dataclass(frozen=True)
class SegmentLayout:
    """One segment: its dtype and the header that it must carry."""

    dtype: np.dtype[np.void]
    magic: int
    version: int
    size: int


@dataclass(frozen=True)
class Layout:
    """Both segments and the names of their enumerations (`{"Mode": {0: "disarmed", ...}}`)."""

    state: SegmentLayout
    safety: SegmentLayout
    enums: dict[str, dict[int, str]]

    @property
    def counter_names(self) -> list[str]:
        """Names of the core's counters, in the order of the segment."""
        names = self.enums["Counter"]
        return [names[index] for index in sorted(names)]

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Self:
        """Build the dtypes from the JSON object of `--print-layout`."""
        return cls(
            state=_segment_layout(description["state"]),
            safety=_segment_layout(description["safety"]),
            enums={
                enum: {int(value): name for name, value in members.items()}
                for enum, members in description["enums"].items()
            },
        )


def _segment_layout(description: dict[str, Any]) -> SegmentLayout:
    fields = description["fields"]
    dtype = np.dtype(
        {
            "names": [field["name"] for field in fields],
            "formats": [(field["dtype"], tuple(field["shape"])) for field in fields],
            "offsets": [field["offset"] for field in fields],
            "itemsize": description["size"],
        }
    )
    return SegmentLayout(dtype, description["magic"], description["version"], description["size"])


@cache
def _parsed(text: str) -> Layout:
    return Layout.from_description(json.loads(text))


async def load_layout() -> Layout:
    """Ask the installed holdfast-control for the layout.

    Raises:
        ConfigError: holdfast-control is not installed.
        UnreachableError: it does not print a layout.
    """
    process = await asyncio.create_subprocess_exec(
        executable("holdfast-control"),
        "--print-layout",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise UnreachableError(
            f"holdfast-control --print-layout failed: {err.decode(errors='replace').strip()}"
        )
    try:
        return _parsed(out.decode())
    except (ValueError, KeyError, TypeError) as error:
        raise UnreachableError(f"holdfast-control --print-layout printed no layout: {error!r}") from error


class SegmentReader:
    """A segment mapped read-only.

    The writer never waits, so a reader that is overtaken tries again, `_READ_ATTEMPTS` times; then it keeps its old
    sample and counts that in `retries_exhausted`. Python has no memory fence: where the processor may reorder loads
    (aarch64) a torn sample is possible in theory. It would be shown or journalled once; nothing that keeps a robot
    safe reads through this class.
    """

    def __init__(self, layout: SegmentLayout, fd: int) -> None:
        """Map the segment behind `fd`; the caller keeps the descriptor.

        Raises:
            UnreachableError: the segment is another version or another kind.
        """
        size = os.fstat(fd).st_size
        if size < layout.size:
            raise UnreachableError(
                f"the segment has {size} bytes, the layout {layout.size}: mixed versions installed"
            )
        self._map = mmap.mmap(fd, layout.size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        self._record: NDArray[np.void] = np.frombuffer(self._map, dtype=layout.dtype, count=1)
        found = (
            int(self._record["header.magic"][0]),
            int(self._record["header.version"][0]),
            int(self._record["header.size"][0]),
        )
        if found != (layout.magic, layout.version, layout.size):
            raise UnreachableError(
                f"the segment is magic {found[0]:#x} version {found[1]} size {found[2]}, expected {layout.magic:#x}, "
                f"{layout.version}, {layout.size}: mixed versions of holdfast are installed"
            )
        data = [name for name in layout.dtype.names or () if name.startswith("data.")]
        fields: Mapping[str, Any] = layout.dtype.fields or {}
        self._start = min(int(fields[name][1]) for name in data)
        self._end = max(int(fields[name][1]) + fields[name][0].itemsize for name in data)
        self._data_dtype = np.dtype(
            {
                "names": [name.removeprefix("data.") for name in data],
                "formats": [fields[name][0] for name in data],
                "offsets": [int(fields[name][1]) - self._start for name in data],
                "itemsize": self._end - self._start,
            }
        )
        self._sample: np.void | None = None
        self.retries_exhausted = 0

    def close(self) -> None:
        """Unmap the segment."""
        self._record = np.zeros(0, dtype=self._record.dtype)
        self._map.close()

    def read(self) -> np.void:
        """Return a consistent copy of the data; the sample before it when the writer was too fast.

        Raises:
            UnreachableError: there is no sample yet.
        """
        for _ in range(_READ_ATTEMPTS):
            before = int(self._record["sequence"][0])
            if before % 2 == 0:
                copy = self._map[self._start : self._end]
                if int(self._record["sequence"][0]) == before:
                    self._sample = np.frombuffer(copy, dtype=self._data_dtype, count=1)[0]
                    return self._sample
        self.retries_exhausted += 1
        if self._sample is None:
            raise UnreachableError("the segment changed during every attempt to read it")
        return self._sample

    def histogram(self, name: str) -> HistogramSummary:
        """Summarise a histogram since the core started.

        `wake`, `cycle`, `controller`, or a part of a cycle: `read`, `estimate`, `shield`, `write`.
        """
        return summarise(self.bins(name), int(self._record[f"{name}.max_ns"][0]))

    def bins(self, name: str) -> NDArray[np.uint64]:
        """Return a copy of a histogram's 1 µs bins; the difference of two is the histogram of the time between."""
        return np.array(self._record[f"{name}.bins"][0], dtype=np.uint64)


@dataclass(frozen=True)
class HistogramSummary:
    """Percentiles in microseconds; None when nothing was counted."""

    count: int
    p50: float | None
    p99: float | None
    max: float | None

    def as_dict(self) -> dict[str, float | None]:
        """Return what up.json and the status carry."""
        return {"p50": self.p50, "p99": self.p99, "max": self.max}


def summarise(bins: NDArray[np.uint64], max_ns: int) -> HistogramSummary:
    """Return percentiles of a histogram with 1 µs bins, each as the upper edge of its bin.

    The last bin holds everything above the range; a percentile that falls there is given as the maximum. No
    percentile is above the maximum.
    """
    total = int(bins.sum())
    if total == 0:
        return HistogramSummary(0, None, None, None)
    cumulative = np.cumsum(bins)
    max_us = max_ns / _NS_PER_US

    def percentile(share: float) -> float:
        index = int(np.searchsorted(cumulative, share * total))
        return max_us if index >= len(bins) - 1 else min(float(index + 1), max_us)

    return HistogramSummary(total, percentile(0.50), percentile(0.99), max_us)
