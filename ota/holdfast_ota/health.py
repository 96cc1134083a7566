"""The health window of an update: what the core says, judged without clock or I/O.

The window is counted in ticks of the controller itself, so only time in which it ran proves anything: a
robot that stands disarmed, paused or stopped by a person keeps watching and commits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_FAULTS = {
    "trap": "it trapped",
    "overrun": "it used more than its time budget",
    "not_finite": "it set a command that is not a finite number",
    "estop_request": "it asked for an emergency stop",
}


class Health(Enum):
    """What an observation means for the update."""

    WATCHING = "watching"
    HEALTHY = "healthy"
    FAULTY = "faulty"
    INTERRUPTED = "interrupted"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Verdict:
    """An observation's meaning, and why."""

    health: Health
    reason: str = ""


class HealthWindow:
    """Watches one controller through `window_ticks` ticks."""

    def __init__(self, sha256: str, window_ticks: int) -> None:
        self._sha256 = sha256
        self._window_ticks = window_ticks
        self._boot_id: str | None = None
        self._last_tick: int | None = None
        self.ticks = 0
        """Ticks seen so far."""

    @property
    def share(self) -> float:
        """How much of the window has passed, 0 to 1."""
        return min(1.0, self.ticks / self._window_ticks)

    def observe(self, status: Mapping[str, Any]) -> Verdict:
        """Judge one status of the core (`control.sock`, op status)."""
        boot_id = str(status.get("boot_id", ""))
        if self._boot_id is None:
            self._boot_id = boot_id
        if boot_id != self._boot_id:
            return Verdict(Health.INTERRUPTED, "the core restarted inside its health window")
        controller = status.get("controller")
        if not controller or controller.get("sha256") != self._sha256:
            # The core has its own watch, and may have loaded the last known good controller already.
            failed = (status.get("lifecycle") or {}).get("rolled_back") or {}
            if failed.get("sha256") == self._sha256:
                return _faulty(failed)
            return Verdict(Health.REPLACED, "another controller was loaded, or it was unloaded")
        if str(controller.get("fault") or "none") != "none" or controller.get("state") == "faulted":
            return _faulty(controller)
        self._count(int(controller.get("tick") or 0))
        return Verdict(Health.HEALTHY if self.ticks >= self._window_ticks else Health.WATCHING)

    def _count(self, tick: int) -> None:
        # The first observation is the origin; a tick that went back was counted from 0 again.
        if self._last_tick is not None:
            self.ticks += tick - self._last_tick if tick >= self._last_tick else tick
        self._last_tick = tick


def _faulty(failed: Mapping[str, Any]) -> Verdict:
    fault, message = str(failed.get("fault") or "none"), str(failed.get("message") or "")
    problem = _FAULTS.get(fault, f"it failed ({fault})")
    return Verdict(Health.FAULTY, f"{problem}: {message}" if message else problem)
