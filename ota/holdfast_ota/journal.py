"""What the robot knows about updates after a power cut: one SQLite database (WAL, synchronous=FULL).

    resolved → staged → activated → watching → committed
        └──────────┴─────────┴──────────┴────→ failing → rolled_back
                   └→ rejected, superseded

An attempt is open until it is committed, rolled_back, rejected or superseded; at most one is open. `failing`
is written, with the reason and the mark on the version, before anything is loaded back, so that no power cut
can lose the decision.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from packaging.version import Version
from sqlite_utils import Database

from holdfast_ota.errors import OtaError
from holdfast_ota.target import Target

SCHEMA = 1


class State(StrEnum):
    """How far an attempt got."""

    RESOLVED = "resolved"
    STAGED = "staged"
    ACTIVATED = "activated"
    WATCHING = "watching"
    FAILING = "failing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing more happens to the attempt."""
        return self in {State.COMMITTED, State.ROLLED_BACK, State.REJECTED, State.SUPERSEDED}


@dataclass(frozen=True)
class Previous:
    """The controller to go back to."""

    name: str
    version: str
    source: bytes


@dataclass(frozen=True)
class Attempt:
    """One try of one version."""

    number: int
    target: Target
    sha256: str
    state: State
    ran: bool
    """Whether the controller was seen running: only then an interruption counts against it."""
    reason: str
    previous: Previous | None


class Journal:
    """The open database, used by one thread. What a method has returned from survives a power cut."""

    def __init__(self, path: Path) -> None:
        """Open and, if needed, create.

        Raises:
            OtaError: it is from a newer version of holdfast, damaged, or cannot be opened.
        """
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            self._db = Database(connection)
            self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("pragma user_version").fetchone()[0])
        if version > SCHEMA:
            raise OtaError(
                f"{self._path} has schema {version}, this holdfast knows {SCHEMA}: install the newer "
                f"version again"
            )
        if version == SCHEMA:
            return
        with self._transaction() as db:
            attempts = {
                "number": int,
                "target": str,
                "sha256": str,
                "state": str,
                "ran": int,
                "reason": str,
                "previous_name": str,
                "previous_version": str,
                "previous_source": bytes,
                "started": str,
                "changed": str,
            }
            db.table("attempts").create(attempts, pk="number", strict=True)
            db.table("floors").create({"line": str, "version": str, "sha256": str}, pk="line", strict=True)
            db.table("bad").create({"target": str, "reason": str, "time": str}, pk="target", strict=True)
            db.table("facts").create({"name": str, "value": str}, pk="name", strict=True)
            db.execute(f"pragma user_version = {SCHEMA}")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # -- attempts --------------------------------------------------------------------------------------------

    def open_attempt(self) -> Attempt | None:
        """Return the attempt that is under way, if any."""
        return next((attempt for attempt in self.attempts(1) if not attempt.state.final), None)

    def current(self) -> Attempt:
        """Return the attempt that is under way.

        Raises:
            OtaError: there is none.
        """
        attempt = self.open_attempt()
        if attempt is None:
            raise OtaError(
                f"the journal of updates {self._path} lost an update that is under way: another process "
                f"uses it"
            )
        return attempt

    def attempts(self, limit: int = 20) -> list[Attempt]:
        """Return the latest attempts, newest first."""
        with self._explained():
            rows = list(self._db.query("select * from attempts order by number desc limit ?", [limit]))
        return [_attempt(row) for row in rows]

    def begin(self, target: Target, sha256: str) -> Attempt:
        """Open an attempt; one that was open and never activated gives way."""
        with self._transaction() as db:
            db.execute(
                "update attempts set state = 'superseded', changed = ? where state in ('resolved', 'staged')",
                [_now()],
            )
            row = {"target": target.path, "sha256": sha256, "state": State.RESOLVED, "ran": 0, "reason": ""}
            db.table("attempts").insert({**row, "started": _now(), "changed": _now()})
        return self.current()

    def stage(self, number: int, previous: Previous | None) -> None:
        """Record that the verified content is on disk, and what to go back to."""
        with self._transaction() as db:
            kept: dict[str, Any] = {"previous_name": None, "previous_version": None, "previous_source": None}
            if previous:
                kept = {
                    "previous_name": previous.name,
                    "previous_version": previous.version,
                    "previous_source": previous.source,
                }
            db.table("attempts").update(number, {"state": State.STAGED, "changed": _now(), **kept})

    def advance(self, number: int, state: State, reason: str = "") -> None:
        """Record the next state."""
        with self._transaction() as db:
            db.table("attempts").update(number, {"state": state, "reason": reason, "changed": _now()})

    def note_running(self, number: int) -> None:
        """Record that the controller was seen running."""
        with self._transaction() as db:
            db.table("attempts").update(number, {"ran": 1, "changed": _now()})

    def fail(self, attempt: Attempt, reason: str, state: State, *, mark_bad: bool) -> None:
        """Record in one transaction that the attempt failed and whether its version is to be tried again."""
        with self._transaction() as db:
            db.table("attempts").update(attempt.number, {"state": state, "reason": reason, "changed": _now()})
            if mark_bad:
                db.table("bad").upsert(
                    {"target": attempt.target.path, "reason": reason, "time": _now()}, pk="target"
                )

    def commit(self, attempt: Attempt) -> None:
        """Record that the version proved itself and that nothing older is ever taken again."""
        with self._transaction() as db:
            db.table("attempts").update(attempt.number, {"state": State.COMMITTED, "changed": _now()})
            floor = {
                "line": _line(attempt.target),
                "version": str(attempt.target.version),
                "sha256": attempt.sha256,
            }
            db.table("floors").upsert(floor, pk="line")

    def interruptions(self, target: Target) -> int:
        """Return how often an attempt of this version was cut off while its controller ran."""
        with self._explained():
            row = self._db.execute(
                "select count(*) from attempts where target = ? and ran and state in ('rolled_back', "
                "'failing')",
                [target.path],
            ).fetchone()
        return int(row[0])

    # -- what is refused -------------------------------------------------------------------------------------

    def floor(self, target: Target) -> tuple[Version, str] | None:
        """Return version and digest of what was last committed of the target's kind and name."""
        with self._explained():
            row = self._db.execute(
                "select version, sha256 from floors where line = ?", [_line(target)]
            ).fetchone()
        return (Version(row[0]), str(row[1])) if row else None

    def why_bad(self, target: Target) -> str | None:
        """Return why this version is not tried again, or None."""
        with self._explained():
            row = self._db.execute("select reason from bad where target = ?", [target.path]).fetchone()
        return str(row[0]) if row else None

    def latest_time(self) -> datetime | None:
        """Return the latest time at which metadata was found valid; an earlier clock is wrong."""
        with self._explained():
            row = self._db.execute("select value from facts where name = 'latest_time'").fetchone()
        return datetime.fromisoformat(row[0]) if row else None

    def note_time(self, time: datetime) -> None:
        """Record a time at which metadata was found valid."""
        with self._transaction() as db:
            db.table("facts").upsert({"name": "latest_time", "value": time.isoformat()}, pk="name")

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        with self._explained():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.conn.in_transaction:
                    self._db.execute("rollback")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OtaError(
                f"the journal of updates {self._path} cannot be used ({error}): free space or check its "
                f"permissions; "
                "the running controller is not touched"
            ) from error


def _attempt(row: dict[str, Any]) -> Attempt:
    previous = None
    if row["previous_source"] is not None:
        previous = Previous(row["previous_name"], row["previous_version"], row["previous_source"])
    target = Target.parse(row["target"])
    return Attempt(
        row["number"], target, row["sha256"], State(row["state"]), bool(row["ran"]), row["reason"], previous
    )


def _line(target: Target) -> str:
    return f"{target.kind.role}/{target.name}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
