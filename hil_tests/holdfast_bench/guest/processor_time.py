"""Who used the processor between two moments, by systemd unit; control groups count it, to the microsecond."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_LEAST_SHARE = 0.001


class ProcessorTime:
    """Counts from the moment it is made."""

    def __init__(self, groups: Path = _GROUPS) -> None:
        self._groups = groups
        self._start_s = time.monotonic()
        self._before = self._used_us()

    def shares(self) -> dict[str, float]:
        """Return what share of one processor each unit has used since then, the greatest first.

        Units below a thousandth are left out, as is what runs in no unit: the kernel's own threads.
        """
        elapsed_us = (time.monotonic() - self._start_s) * 1e6
        used = self._used_us()
        used.subtract(self._before)
        return {
            unit: round(microseconds / elapsed_us, 4)
            for unit, microseconds in used.most_common()
            if microseconds / elapsed_us >= _LEAST_SHARE
        }

    def _used_us(self) -> Counter[str]:
        """Return the microseconds that each service or scope has used; what it holds counts as its own."""
        used: Counter[str] = Counter()
        for group in (*self._groups.rglob("*.service"), *self._groups.rglob("*.scope")):
            used[group.name] = _usage_us(group / "cpu.stat")
        return used


def _usage_us(statistics: Path) -> int:
    try:
        fields = dict(line.split() for line in statistics.read_text().splitlines())
    except FileNotFoundError:  # the unit has ended
        return 0
    return int(fields["usage_usec"])
