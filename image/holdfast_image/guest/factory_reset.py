"""Asks for a factory reset: at the next start the initrd makes the data partition anew.

The request is a file on that partition. One write of the partition table removes both, so a power cut leaves both, or
neither and a next start that makes a data partition as the first one did.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import RefusedError, UnreachableError
from holdfast.modes import MOVING
from holdfast.places import run_directory, state_directory
from holdfast.seqpacket import ask
from holdfast_image.guest.firstboot import write_durably

LOST = "its settings (robot.toml and all of /etc), ssh keys and identity, controllers, tasks, journal, records of stops"
"""What is on the data partition, for people."""
APPLIED_AGAIN = "What its card was flashed with is applied again, the ssh key that may log in included."

# Beside the versions, on the EFI system partition: usr/lib/holdfast/slot of the initrd reads and writes them.
RESET_LINE = "EFI/holdfast/reset-line"
"""Which GPIO line, CHIP:NUMBER, resets the robot when it is held while that starts."""
_SEEN_LOW = "EFI/holdfast/reset-line-was-low"


@dataclass(frozen=True)
class ResetLine:
    """The line that the robot was flashed with."""

    line: str
    seen_low: bool
    """Whether a start has found it low since it was last held: only then it resets."""


def reset_line(esp: Path) -> ResetLine | None:
    """Return the line that the EFI system partition names; None if there is none."""
    try:
        line = (esp / RESET_LINE).read_text().strip()
    except FileNotFoundError:
        return None
    return ResetLine(line, (esp / _SEEN_LOW).exists())


def _request() -> Path:
    return state_directory() / "os/factory-reset"


async def require_standstill() -> None:
    """Refuse while something may move or a stop is latched.

    A core that does not answer is no hindrance: the reset comes with a reboot, which stops the robot in any case.

    Raises:
        RefusedError: something may, or one is: only who mends its cause takes a stop away.
    """
    if _stop_is_latched():
        raise RefusedError(
            "a stop is latched, and would be forgotten; reset it first (`holdfast robot reset`)"
        )
    try:
        mode = (await ask(run_directory() / "control.sock", {"op": "status"}))["mode"]
    except UnreachableError:
        return
    if mode in MOVING:
        raise RefusedError(f"the robot is {mode}; disarm it first (`holdfast robot disarm`)")


def require_way_in(starts_only_signed: bool, tpm: Path = Path("/dev/tpmrm0")) -> None:
    """Refuse where the card's credentials are not taken: nobody could log in any more.

    Raises:
        RefusedError: this robot has a TPM and Secure Boot (docs/decisions/0060-first-boot-credentials.md).
    """
    if starts_only_signed and tpm.exists():
        raise RefusedError(
            "with a TPM and Secure Boot a robot takes no ssh key from its card, so nobody could log in after a reset; "
            "flash its card anew"
        )


def _stop_is_latched() -> bool:
    """Tell what the safety daemon's record says; one that cannot be read is a stop, as it is for the daemon."""
    try:
        record = json.loads((state_directory() / "safety/estop.json").read_text())
        return bool(record["latch_sequence"] != 0)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, LookupError, TypeError):
        return True


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
