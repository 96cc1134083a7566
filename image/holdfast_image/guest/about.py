"""What a robot tells whoever stands before it: which one it is, how it is, what to do next.

One service (holdfast_image.guest.console), which may open the robot's sockets, asks for it and writes it to a file. Who
talks to strangers reads that.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.places import run_directory
from holdfast.seqpacket import ask
from holdfast_image.guest.boot_loader import running_version

ROBOT = Path("/etc/holdfast/robot.toml")
FILE = Path("/run/holdfast-console/about.json")
_EXAMPLE = Path("/usr/share/holdfast/robot.toml")
_IP_LIMIT_S = 10
_BOARD = Path("/usr/lib/holdfast/board")


@dataclass(frozen=True)
class About:
    """Everything that is told, and when it was so."""

    version: str
    board: str
    robot: str
    host_name: str
    addresses: tuple[str, ...]
    state: str
    example: bool
    """Whether the robot is still the image's example."""
    at_s: float
    """Seconds since the robot was switched on (CLOCK_BOOTTIME): its date may be wrong."""

    def next_step(self, address: str) -> str:
        """Return what somebody does next who has just switched it on and sees it at `address`.

        In place of an address that means something on one cable only it is the name that the robot answers to.
        """
        if address.startswith("fe80:"):
            address = f"{self.host_name}.local"
        if self.example:
            return f"this is the example robot. Describe yours in {ROBOT}; ssh admin@{address} gets in"
        return f"ssh admin@{address} holdfast robot status"

    def write(self, file: Path) -> None:
        """Write it in one step, for everybody to read."""
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.chmod(0o644)
        new.replace(file)

    @classmethod
    def read(cls, file: Path) -> About:
        """Read what was written.

        Raises:
            OSError, ValueError, LookupError, TypeError: there is nothing, or something else.
        """
        told = json.loads(file.read_text())
        return cls(**{**told, "addresses": tuple(told["addresses"])})


async def look() -> About:
    """Ask the robot, and the kernel for its addresses.

    Raises:
        UsageError, OSError: this is no robot.
    """
    return About(
        running_version(),
        _BOARD.read_text().strip(),
        robot_id(),
        socket.gethostname(),
        _addresses(),
        await _state(),
        is_example(),
        now_s(),
    )


def now_s() -> float:
    """Return the seconds since the robot was switched on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def robot_id(robot: Path = ROBOT) -> str:
    """Return the robot's id, or why it has none."""
    try:
        return str(tomllib.loads(robot.read_text())["robot"]["id"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"without an id ({robot}: {error})"


def is_example(robot: Path = ROBOT, example: Path = _EXAMPLE) -> bool:
    """Tell whether the robot is still the image's example, whatever its id."""
    try:
        mine, given = (tomllib.loads(file.read_text()) for file in (robot, example))
    except (OSError, ValueError):
        return False
    mine.pop("robot", None)
    given.pop("robot", None)
    return mine == given


def state(status: dict[str, Any]) -> str:
    """Return in one line how the core is, from its answer to `status`."""
    blockers = [str(blocker) for blocker in status.get("arm_blockers") or []]
    if blockers and status.get("mode") == "disarmed":
        return f"disarmed; before arming: {'; '.join(blockers)}"
    return str(status.get("mode", "not known"))


async def _state() -> str:
    try:
        return state(await ask(run_directory() / "control.sock", {"op": "status"}))
    except HoldfastError as error:
        return f"the core does not answer ({error}); see journalctl -u holdfast-control"


def addresses_in(listed: str) -> tuple[str, ...]:
    """Return the addresses in what `ip --json address` lists, without those of one cable or of the machine itself."""
    return tuple(
        str(address["local"])
        for interface in json.loads(listed)
        for address in interface.get("addr_info", ())
        if address.get("scope") == "global"
    )


def _addresses() -> tuple[str, ...]:
    command = ["ip", "--json", "address", "show", "up"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_IP_LIMIT_S)
    return addresses_in(listed.stdout) if listed.returncode == 0 else ()
