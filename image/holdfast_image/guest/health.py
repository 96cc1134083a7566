"""Decides whether a version that is on trial works: `python -m holdfast_image.guest.health`.

holdfast-healthy.service runs it before boot-complete.target, which systemd-bless-boot waits for. It ends well once the
loop has run for `HEALTHY_S` without a break, the worker was there (it fetches the next version) and the safety daemon
saw nothing that is the machine's own fault. It never gives up, its unit's time limit does.

A stop that stands because somebody presses the e-stop, or because a drive has failed, says nothing about the version.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.places import run_directory
from holdfast.seqpacket import ask
from holdfast_image.errors import UsageError
from holdfast_image.guest.boot_loader import boot_loader
from holdfast_image.guest.versions import robot_memory

HEALTHY_S = 20.0
_POLL_S = 1.0
OWN_FAULTS = frozenset(
    {"core_lost", "worker_lost", "estop_line_unreadable", "enable_line_failed", "health_unreadable"}
)
"""Causes of a stop that a version can be to blame for; the others come from people, drives and the disk."""

Status = dict[str, Any]
Ask = Callable[[str], Awaitable[Status]]


class Trial:
    """The time for which everything has been well without a break."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._boot_id: object = None
        self._cycle = -1

    def see(self, control: Status, safety: Status, now: float) -> str | None:
        """Take another look; return what is wrong, None if nothing is."""
        wrong = self._wrong(control, safety)
        self._boot_id, self._cycle = control["boot_id"], int(control["cycle"])
        if wrong is not None:
            self._since = None
        elif self._since is None:
            self._since = now
        return wrong

    def healthy_for_s(self, now: float) -> float:
        """Return for how long nothing has been wrong."""
        return 0.0 if self._since is None else now - self._since

    def _wrong(self, control: Status, safety: Status) -> str | None:
        if control["boot_id"] != self._boot_id:
            return "the core has just started"
        if control["cycle"] <= self._cycle:
            return "the loop stands still"
        for peer in ("core", "worker"):
            if not safety[peer]["attached"]:
                return f"the safety daemon does not see the {peer}"
        if safety["standing"] in OWN_FAULTS:
            return f"the safety daemon holds the stop: {safety['standing']}"
        return None


async def until_healthy(
    ask_daemon: Ask,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Look again and again until all has been well for `HEALTHY_S`; `say` gets what is wrong when it changes."""
    trial = Trial()
    said: str | None = None
    while trial.healthy_for_s(clock()) < HEALTHY_S:
        try:
            wrong = trial.see(await ask_daemon("control.sock"), await ask_daemon("safety.sock"), clock())
        except HoldfastError as error:
            trial, wrong = Trial(), str(error)
        if wrong is not None and wrong != said:
            say(wrong)
        said = wrong
        await pause(_POLL_S)


async def _ask(name: str) -> Status:
    return await ask(run_directory() / name, {"op": "status"})


def main() -> int:
    """Wait, and note that the boot loader counts if it has counted this boot."""
    asyncio.run(until_healthy(_ask, lambda wrong: print(f"<5>not yet: {wrong}", file=sys.stderr)))
    try:
        if boot_loader().counts():
            robot_memory().remember_counting()
    except (UsageError, OSError) as error:
        print(f"<4>the boot loader is not known to count: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
