"""Watches one robot during one test: remembers where its journal, console and counters stood, and reads on from there.

A power cut takes what the journal has not yet written to the disk, and the core's counters. So the bench calls
`look_before_cut`, and nothing that was there to be seen is lost. It only reads: a journal that is flushed for the
bench's sake would hide what a real power cut takes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from holdfast_bench.checks import counters, journal
from holdfast_bench.checks.findings import Finding
from holdfast_bench.result import BenchError


class Voice(Protocol):
    """A robot that can be asked."""

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Ask one thing by holdfast_bench.guest.ask."""
        ...

    def control(self) -> dict[str, Any]:
        """Return the core's account of itself."""
        ...

    def safety(self) -> dict[str, Any]:
        """Return the safety daemon's account of itself."""
        ...


class Log(Protocol):
    """A console that can be read."""

    def text(self) -> str:
        """Return everything written to it so far."""
        ...


class Watched(Protocol):
    """What is watched: a bench with its robot."""

    before_cut: Callable[[], None] | None
    """Called before the power is cut."""

    @property
    def robot(self) -> Voice:
        """The robot under test."""
        ...

    @property
    def console(self) -> Log:
        """Its console."""
        ...

    @property
    def keeps_deadlines(self) -> bool:
        """Whether late cycles are the robot's own fault."""
        ...


class Watch:
    """Begins with its making; `finish` says what is not as it should be."""

    def __init__(self, bench: Watched) -> None:
        self._bench = bench
        self._console_start = len(bench.console.text())
        self._cursor = str(self._ask("journal_cursor")["cursor"])
        self._entries: list[journal.Entry] = []
        self._grown: dict[str, int] = {}
        self._unseen: list[Finding] = []
        self._sample = self._counters()

    def look(self) -> None:
        """Read on in journal and counters, from where the last look ended."""
        answer = self._ask("journal", self._cursor)
        self._entries += journal.parse(answer["lines"])
        self._cursor = str(answer["cursor"])
        now = self._counters()
        for name, count in counters.growth(self._sample, now).items():
            self._grown[name] = self._grown.get(name, 0) + count
        self._sample = now

    def look_before_cut(self) -> None:
        """Do the same where the test goes on whatever the robot answers; a look that failed is a finding."""
        try:
            self.look()
        except BenchError as error:
            self._unseen.append(Finding("journal", f"not read before the power was cut: {error}"))

    def finish(self) -> list[Finding]:
        """Look once more, at everything, and return what is not as it should be.

        Raises:
            BenchError: the robot does not answer.
        """
        self.look()
        found = [*self._unseen]
        found += [
            Finding(unit, "the unit has failed; its words are in journal.log")
            for unit in self._ask("failed_units")["units"]
        ]
        found += [Finding(entry.source, entry.message) for entry in journal.errors(self._entries)]
        bad = counters.bad(self._grown, keeps_deadlines=self._bench.keeps_deadlines)
        found += [Finding(name, f"the counter grew by {count}") for name, count in bad.items()]
        checked = self._ask("database")["quick_check"]
        if checked != ["ok"]:
            found.append(Finding("worker.db", f"SQLite's quick_check says {', '.join(map(str, checked))}"))
        return found

    def save(self, folder: Path) -> dict[str, Path]:
        """Write what console and journal got during the test; returns the files."""
        folder.mkdir(parents=True, exist_ok=True)
        console, log = folder / "console.log", folder / "journal.log"
        console.write_text(self._bench.console.text()[self._console_start :], encoding="utf-8")
        log.write_text("".join(f"{entry}\n" for entry in self._entries), encoding="utf-8")
        return {"console": console, "journal": log}

    def _counters(self) -> counters.Sample:
        robot = self._bench.robot
        return counters.sample(robot.control(), robot.safety())

    def _ask(self, *question: str) -> dict[str, Any]:
        answer = self._bench.robot.ask(*question)
        if not answer.get("ok"):
            raise BenchError(f"the robot does not answer {question[0]!r}: {answer.get('error')}")
        return answer
