r"""Writes what stands above the login prompt: which robot this is, where it is, how it is, what to do next.

holdfast-console.service runs `python -m holdfast_image.guest.console` once everything has started. `/etc/issue.d` has a
link to what it writes; `\4` and `\6` in it are the addresses, which agetty keeps up to date (agetty(8)).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.places import run_directory
from holdfast.seqpacket import ask
from holdfast_image.errors import UsageError
from holdfast_image.guest.boot_loader import running_version

ROBOT = Path("/etc/holdfast/robot.toml")
EXAMPLE = Path("/usr/share/holdfast/robot.toml")
BOARD = Path("/usr/lib/holdfast/board")
ISSUE = Path("/run/holdfast-console/issue")


def robot_id(robot: Path = ROBOT) -> str:
    """Return the robot's id, or why it has none."""
    try:
        return str(tomllib.loads(robot.read_text())["robot"]["id"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"without an id ({robot}: {error})"


def is_example(robot: Path = ROBOT, example: Path = EXAMPLE) -> bool:
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
    if blockers and status["mode"] == "disarmed":
        return f"disarmed; before arming: {'; '.join(blockers)}"
    return str(status["mode"])


def issue(version: str, board: str, robot: str, how: str, example: bool) -> str:
    """Return the text for agetty; a backslash in what is shown is doubled, for agetty takes it for a code."""
    robot, how = (text.replace("\\", "\\\\") for text in (robot, how))
    lines = [
        f"Holdfast {version} for {board}: robot {robot}",
        r"Name \n, addresses \4 \6",
        f"After its start: {how}",
    ]
    if example:
        lines.append(
            f"Next: this is the example robot. Describe yours in {ROBOT}: holdfast robot check {ROBOT}"
        )
    else:
        lines.append(r"Next: ssh root@\4 holdfast robot status")
    return "".join(f"{line}\n" for line in lines) + "\n"


async def _how() -> str:
    try:
        return state(await ask(run_directory() / "control.sock", {"op": "status"}))
    except HoldfastError as error:
        return f"the core does not answer ({error}); see journalctl -u holdfast-control"


def main() -> int:
    """Write the text and have it shown."""
    try:
        text = issue(
            running_version(), BOARD.read_text().strip(), robot_id(), asyncio.run(_how()), is_example()
        )
        ISSUE.write_text(text)
    except (UsageError, OSError) as error:
        print(f"<4>{error}", file=sys.stderr)
        return 1
    return subprocess.run(["agetty", "--reload"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
