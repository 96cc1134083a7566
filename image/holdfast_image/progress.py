"""Tells a person what a build or a transfer is doing: one line a step with its time, a spinner or bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class Steps:
    """Shows steps on standard error and remembers how long each took."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show `name` while the body runs, then its time; a failed step is shown as such."""
        with self._timed(name):
            if self._console.is_terminal:
                columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
                with Progress(*columns, console=self._console, transient=True) as progress:
                    progress.add_task(name, total=None)
                    yield
            else:
                self._console.print(f"{name} ...", highlight=False)
                yield

    @contextmanager
    def transfer(self, name: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Give a function that takes how many bytes more are through; show how far it is and how fast."""
        with self._timed(name, total_bytes):
            if self._console.is_terminal:
                columns = (
                    *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), DownloadColumn()),
                    *(TransferSpeedColumn(), TimeRemainingColumn()),
                )
                with Progress(*columns, console=self._console, transient=True) as progress:
                    task = progress.add_task(name, total=total_bytes)
                    yield lambda count: progress.advance(task, count)
            else:
                yield _Tenths(name, total_bytes, self.say).advance

    @contextmanager
    def _timed(self, name: str, transferred_bytes: int | None = None) -> Iterator[None]:
        started = time.monotonic()
        failed = True
        try:
            yield
            failed = False
        finally:
            taken = time.monotonic() - started
            self.seconds[name] = round(taken, 1)
            mark = "[red]failed[/]" if failed else "[green]done[/]"
            figures = f"{taken:.1f} s"
            if transferred_bytes is not None and not failed:
                figures = f"{decimal(transferred_bytes)}, {figures}, {_rate(transferred_bytes, taken)}"
            self._console.print(f"{mark} {name} ({figures})", highlight=False)

    def say(self, text: str) -> None:
        """Show one line."""
        self._console.print(text, highlight=False)


class _Tenths:
    """Says a line at each tenth of a transfer, where there is no terminal to draw a bar on."""

    def __init__(self, name: str, total_bytes: int, say: Callable[[str], None]) -> None:
        self._name = name
        self._total_bytes = total_bytes
        self._say = say
        self._done_bytes = 0
        self._started = time.monotonic()

    def advance(self, count: int) -> None:
        """Count on."""
        before = 10 * self._done_bytes // self._total_bytes
        self._done_bytes += count
        tenths = 10 * self._done_bytes // self._total_bytes
        if tenths > before:
            rate = _rate(self._done_bytes, time.monotonic() - self._started)
            self._say(f"{self._name}: {10 * tenths} % ({rate})")


def _rate(count: int, seconds: float) -> str:
    return f"{decimal(int(count / max(seconds, 1e-3)))}/s"
