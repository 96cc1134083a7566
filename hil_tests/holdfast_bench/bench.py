"""One robot on a bench, whatever back end it is reached by: what tests and scenarios are given.

A back end makes the robot, its supply, console and faults, and says when the robot is ready.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable

from holdfast_bench.facade import Console, Faults, Power
from holdfast_bench.robot import Robot


class HeededPower:
    """A supply that lets somebody look at the robot before it goes."""

    def __init__(self, supply: Power, before_it_goes: Callable[[], None]) -> None:
        self._supply = supply
        self._before_it_goes = before_it_goes

    def on(self) -> None:
        """Start the robot."""
        self._supply.on()

    def off(self) -> None:
        """Have it looked at, then shut it down in good order."""
        self._before_it_goes()
        self._supply.off()

    def cut(self) -> None:
        """Have it looked at, then take the supply away."""
        self._before_it_goes()
        self._supply.cut()


class Bench(ABC):
    """A robot that is on, with what can be done to it and seen of it."""

    keeps_deadlines: bool
    """Whether late cycles are the robot's own fault."""

    def __init__(self, robot: Robot, supply: Power, console: Console, faults: Faults) -> None:
        self.robot = robot
        """The robot, over its management link."""
        self.console = console
        """Its serial console."""
        self.faults = faults
        """Faults that can be caused."""
        self.power: Power = HeededPower(supply, self._look)
        """Its supply."""
        self.before_cut: Callable[[], None] | None = None
        """Called before the supply goes: the last chance to read what the robot has not yet written to its disk."""
        self.name = "unnamed"
        """What its bench file calls it."""
        self.probe = "none"
        """Which probe stands beside the robot."""
        self._ready = False

    @property
    def hub_url_inside(self) -> str | None:
        """The fleet's hub, for clients on the robot; None: this bench has none."""
        return None

    def wait_ready(self) -> float:
        """Wait until the robot is ready; returns the seconds since power-on."""
        seconds = self._until_ready()
        self._ready = True
        return seconds

    @abstractmethod
    def wait_for_unit(self, unit: str) -> None:
        """Wait until a unit of the robot is active.

        Raises:
            MachineError: it does not become so; the message names what failed.
        """

    def identity(self) -> dict[str, str]:
        """Return what exactly is tested, and on what: bench, image, kernel, back end, commit, probe."""
        return {
            "bench": self.name,
            "image": self._image(),
            "kernel": self.robot.shell.run("uname -r").stdout.strip(),
            "back end": self._back_end(),
            "commit": _commit(),
            "probe": self.probe,
        }

    @abstractmethod
    def _until_ready(self) -> float: ...

    @abstractmethod
    def _image(self) -> str: ...

    @abstractmethod
    def _back_end(self) -> str: ...

    def _look(self) -> None:
        # A robot that boots cannot be asked, and waiting for its answer would put off the cut.
        if self._ready and self.before_cut is not None:
            self.before_cut()
        self._ready = False


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown: no git checkout"
