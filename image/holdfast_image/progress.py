"""Tells a person what a build is doing: one line a step with its time, a spinner on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps:
    """Shows steps on standard error and remembers how long each took."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show `name` while the body runs, then its time; a failed step is shown as such."""
        started = time.monotonic()
        failed = True
        try:
            if self._console.is_terminal:
                columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
                with Progress(*columns, console=self._console, transient=True) as progress:
                    progress.add_task(name, total=None)
                    yield
            else:
                self._console.print(f"{name} ...", highlight=False)
                yield
            failed = False
        finally:
            self.seconds[name] = round(time.monotonic() - started, 1)
            mark = "[red]failed[/]" if failed else "[green]done[/]"
            self._console.print(f"{mark} {name} ({self.seconds[name]:.1f} s)", highlight=False)

    def say(self, text: str) -> None:
        """Show one line."""
        self._console.print(text, highlight=False)
