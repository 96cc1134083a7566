"""A board behind labgrid: what the scenarios call a target when there is a real robot on the bench."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from holdfast_bench.bench import Bench
from holdfast_bench.bench_file import LabgridSettings
from holdfast_bench.labgrid.link import ANSWER_LIMIT_S, LabgridLink
from holdfast_bench.labgrid.shell import LabgridShell
from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.robot import Robot

_READY_LIMIT_S = 600.0
_SHUTDOWN_LIMIT_S = 180.0
_HALTED = r"reboot: (Power down|System halted)"


class LabgridConsole(ConsoleLog):
    """The console's log, and the way to type on it."""

    def __init__(self, link: LabgridLink) -> None:
        super().__init__(link.console_log)
        self._link = link

    def write(self, text: str) -> None:
        """Type `text`; a new line is part of it."""
        self._link.ask("console.write", text=text)

    @property
    def ended(self) -> str | None:
        """Why nothing is read any more; None while the console is read."""
        reason: str | None = self._link.ask("console.ended")
        return reason


class Board:
    """Power, Console, Shell and Faults of one target of labgrid."""

    def __init__(self, link: LabgridLink, place: str | None) -> None:
        self._link = link
        self.place = place
        """The coordinator's name for it."""
        self.on_since = time.monotonic()
        """When it was switched on, by time.monotonic()."""
        self.console = LabgridConsole(link)
        self.shell = LabgridShell(link)

    def on(self) -> None:
        """Switch the supply on; the console is listened to from before."""
        self.console.mark()
        self.shell.forget()
        self.on_since = time.monotonic()
        self._link.ask("power.on")

    def off(self) -> None:
        """Shut it down from inside, wait for the console to say so, then switch the supply off."""
        self.shell.run("systemctl --no-block poweroff")
        self.console.wait_for(_HALTED, _SHUTDOWN_LIMIT_S)
        self.cut()

    def cut(self) -> None:
        """Switch the supply off."""
        self._link.ask("power.cut")

    def set_link(self, name: str, up: bool) -> None:
        """Refused with a sentence: a board's cables are not in labgrid's hands.

        Raises:
            LabgridError: the target cannot do it.
        """
        self._link.ask("links.set", name=name, up=up)


@contextmanager
def opened(settings: LabgridSettings, folder: Path) -> Iterator[Board]:
    """Acquire the board; it is released afterwards, its supply as it is then.

    Raises:
        LabgridError: no place became free, or the environment cannot be used.
    """
    with LabgridLink(folder) as link:
        place = link.ask(
            "open",
            limit_s=settings.wait_s + ANSWER_LIMIT_S,
            environment=str(settings.environment),
            coordinator=settings.coordinator,
            place=settings.place,
            reserve=settings.reserve,
            wait_s=settings.wait_s,
        )
        yield Board(link, place)


class BoardBench(Bench):
    """One board: what a bench without a fleet's hub can do."""

    keeps_deadlines = True

    def __init__(self, board: Board) -> None:
        super().__init__(Robot(board.shell), board, board.console, board)
        self._board = board

    @classmethod
    @contextmanager
    def booted(cls, settings: LabgridSettings, folder: Path) -> Iterator[Self]:
        """Acquire the board, switch it on and wait until it is ready; it is off and released afterwards."""
        with opened(settings, folder) as board:
            bench = cls(board)
            try:
                board.cut()
                board.on()
                bench.wait_ready()
                yield bench
            finally:
                bench.robot.hang_up()
                board.cut()

    def wait_for_unit(self, unit: str) -> None:
        """Wait until a unit of the robot is active."""
        self._board.shell.wait_for_unit(unit, _READY_LIMIT_S, lambda: None, self._board.console)

    def _until_ready(self) -> float:
        self.wait_for_unit("holdfast.target")
        return time.monotonic() - self._board.on_since

    def _image(self) -> str:
        return "unknown: the board came with it"

    def _back_end(self) -> str:
        return f"labgrid, {self._board.place or 'no coordinator'}"
