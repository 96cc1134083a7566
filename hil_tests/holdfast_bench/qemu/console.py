"""The serial console of a machine: a file that QEMU appends to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from holdfast_bench.qemu.errors import MachineError

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?!:]*[ -/]*[@-~]|[()][A-Z0-9]|[=>])")
_CLOCK = re.compile(r"^\[ *(\d+\.\d+)\]", re.MULTILINE)
_TAIL_LINES = 15
_POLL_S = 0.2


class ConsoleLog:
    """Reads what the guest wrote, without terminal escapes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = 0

    def mark(self) -> None:
        """Remember this place: `wait_for` and `clock_s` look behind it only."""
        self._mark = self.path.stat().st_size if self.path.exists() else 0

    def text(self) -> str:
        """Return everything written so far, over all boots."""
        return self._from(0)

    def since_mark(self) -> str:
        """Return what was written since the last power-on."""
        return self._from(self._mark)

    def wait_for(
        self, pattern: str, limit_s: float, alive: Callable[[], bool] = lambda: True
    ) -> re.Match[str]:
        """Wait for a regular expression in what is written since the last power-on.

        Raises:
            MachineError: it did not come within `limit_s`, or the machine ended (`alive` is false).
        """
        end = time.monotonic() + limit_s
        while True:
            lives = alive()
            if found := re.search(pattern, self.since_mark()):
                return found
            if not lives:
                raise MachineError(f"the machine ended before its console showed {pattern!r}:\n{self.tail()}")
            if time.monotonic() > end:
                raise MachineError(
                    f"the console did not show {pattern!r} within {limit_s:.0f} s:\n{self.tail()}"
                )
            time.sleep(_POLL_S)

    def clock_s(self) -> float | None:
        """Return the guest's clock by the last kernel message since power-on, in seconds since its boot."""
        stamps = _CLOCK.findall(self.since_mark())
        return float(stamps[-1]) if stamps else None

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines, indented."""
        return "\n".join(f"  {line}" for line in self.text().rstrip().splitlines()[-lines:])

    def _from(self, start: int) -> str:
        if not self.path.exists():
            return ""
        with self.path.open("rb") as stream:
            stream.seek(start)
            return _ESCAPES.sub("", stream.read().decode(errors="replace")).replace("\r", "")
