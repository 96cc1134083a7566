"""Asks for a factory reset: at the next start the initrd makes the data partition anew.

The request is a file on that partition. One write of the partition table removes both, so a power cut leaves both, or
neither and a next start that makes a data partition as the first one did.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.errors import RefusedError, UnreachableError
from holdfast.modes import MOVING
from holdfast.places import run_directory, state_directory
from holdfast.seqpacket import ask
from holdfast_image.guest.firstboot import write_durably

LOST = "its settings (robot.toml and all of /etc), ssh keys and identity, controllers, tasks, journal, records of stops"
"""What is on the data partition, for people."""


def _request() -> Path:
    return state_directory() / "os/factory-reset"


async def require_standstill() -> None:
    """Refuse while something may move or a stop is latched; a core that does not answer moves nothing.

    Raises:
        RefusedError: something may, or one is: only who mends its cause takes a stop away.
    """
    try:
        mode = (await ask(run_directory() / "control.sock", {"op": "status"}))["mode"]
    except UnreachableError:
        return
    if mode in MOVING:
        raise RefusedError(f"the robot is {mode}; disarm it first (`holdfast robot disarm`)")
    if mode == "estop":
        raise RefusedError(
            "a stop is latched, and would be forgotten; reset it first (`holdfast robot reset`)"
        )


def is_requested() -> bool:
    """Tell whether the next start resets this robot."""
    return _request().is_file()


def request() -> None:
    """Have the next start reset this robot."""
    write_durably(_request(), "yes\n", 0o644)


def cancel() -> None:
    """Have the next start leave this robot as it is."""
    _request().unlink(missing_ok=True)
    os.sync()
