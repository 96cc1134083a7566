"""What a scenario may do to a robot, whatever it is: a virtual machine or a board on the bench.

Back ends implement these; tests name capabilities and never a back end.
"""

from __future__ import annotations

import re
import subprocess
from typing import Protocol

MANAGEMENT = "net0"
"""The link the bench itself uses; cutting it is no test of the robot."""
OUTSIDE = "net1"
"""The link to everything else: the fleet's hub."""


class Power(Protocol):
    """The robot's supply."""

    def on(self) -> None:
        """Start the robot; returns before it has booted."""

    def off(self) -> None:
        """Shut it down in good order and wait until it is off."""

    def cut(self) -> None:
        """Take the supply away at once: nothing that was not on disk survives."""


class Console(Protocol):
    """The robot's serial console."""

    def text(self) -> str:
        """Return everything written to it so far, over all boots."""

    def wait_for(self, pattern: str, limit_s: float) -> re.Match[str]:
        """Wait for a regular expression in what is written from the last power-on."""


class Shell(Protocol):
    """A root shell on the robot. Nothing timed through it is a figure."""

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command to its end; with `check` a failure is an error."""

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a shell command and leave it running, to be talked with over its standard input and output."""


class Faults(Protocol):
    """Things that go wrong around the robot."""

    def set_link(self, name: str, up: bool) -> None:
        """Plug a network cable in or out, as the robot's interface sees it."""
