"""Everything durable of the worker: one SQLite database in WAL mode with synchronous=FULL.

What a method has returned from survives a power cut. Methods block on the disk, so the worker calls them through
`StoreThread`, never from its event loop, whose turning is what the safety daemon watches.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlite_utils import Database

from holdfast.errors import StoreError, StoreFullError
from holdfast.migrations import STEPS

ControllerRecordState = Literal["staged", "active", "inactive", "faulted"]
TaskState = Literal["queued", "running", "done"]
Result = TypeVar("Result")

_KEPT_CONTROLLERS = 100
_KEPT_RESULTS = 1000
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True)
class ControllerRecord:
    """A controller that once passed verification on this robot."""

    sha256: str
    name: str
    version: str
    source: bytes
    cwasm: Path
    state: ControllerRecordState
    fault: str | None
    changed: str
    last_known_good: str | None


@dataclass(frozen=True)
class TaskRecord:
    """A task that was journalled before it was acknowledged."""

    id: str
    kind: str
    payload: dict[str, Any]
    requires_fleet: bool
    state: TaskState
    attempts: int


@dataclass(frozen=True)
class ResultRecord:
    """A result that waits to be published."""

    task: str
    payload: bytes


def now() -> str:
    """Return the time as it is written everywhere: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """The open database. One thread uses it at a time."""

    def __init__(self, db: Database, path: Path, set_aside: Path | None) -> None:
        self._db = db
        self.path = path
        self.set_aside = set_aside
        """Where a damaged database was moved to when this one was opened; None if it was sound."""

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open, check and migrate the database; a damaged one is set aside and an empty one begun.

        Raises:
            StoreError: it is from a newer version of holdfast, or cannot be opened.
            StoreFullError: there is no space.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with _explained(path):
            try:
                return cls(_open_checked(path), path, None)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                    raise
            damaged = _move_aside(path)
            return cls(_open_checked(path), path, damaged)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def quick_check(self) -> str:
        """Return SQLite's verdict on the file: "ok", or what is wrong."""
        with _explained(self.path):
            return "; ".join(row[0] for row in self._db.execute("pragma quick_check").fetchall())

    # --- controllers ---------------------------------------------------------------------------------------------

    def controller(self, sha256: str) -> ControllerRecord | None:
        """Return what is known of the controller with this digest."""
        return next(self._controllers("sha256 = ?", [sha256]), None)

    def active_controller(self) -> ControllerRecord | None:
        """Return the controller that should be loaded, if any."""
        return next(self._controllers("state = 'active'", []), None)

    def last_known_good(self, besides: str = "") -> ControllerRecord | None:
        """Return the controller that most recently ran through its watch and is not faulted."""
        return next(
            self._controllers(
                "good_order is not null and state != 'faulted' and sha256 != ? order by good_order desc",
                [besides],
            ),
            None,
        )

    def _controllers(self, where: str, arguments: list[Any]) -> Iterator[ControllerRecord]:
        with _explained(self.path):
            rows = list(self._db.query(f"select * from controllers where {where}", arguments))  # noqa: S608
        for row in rows:
            yield ControllerRecord(
                row["sha256"],
                row["name"],
                row["version"],
                row["source"],
                Path(row["cwasm"]),
                row["state"],
                row["fault"],
                row["changed"],
                row["last_known_good"],
            )

    def controller_digests(self) -> set[str]:
        """Return the digests of all controllers that are remembered."""
        with _explained(self.path):
            return {row[0] for row in self._db.execute("select sha256 from controllers").fetchall()}

    def stage_controller(self, *, sha256: str, name: str, version: str, source: bytes, cwasm: Path) -> None:
        """Record a controller that passed verification. Deploying a faulted one again is a person's fresh start."""
        with self._transaction() as db:
            known = db.execute("select state from controllers where sha256 = ?", [sha256]).fetchone()
            state = "active" if known and known[0] == "active" else "staged"
            record = {"name": name, "version": version, "source": source, "cwasm": str(cwasm), "fault": None}
            if known:
                db.table("controllers").update(sha256, {**record, "state": state, "changed": now()})
            else:
                db.table("controllers").insert(
                    {"sha256": sha256, **record, "state": state, "added": now(), "changed": now()}
                )

    def activate_controller(self, sha256: str) -> None:
        """Record that this controller, and no other, is loaded."""
        with self._transaction() as db:
            db.execute(
                "update controllers set state = 'inactive', changed = ? where state = 'active'", [now()]
            )
            # One that has failed meanwhile stays so: only deploying it again is a fresh start.
            db.execute(
                "update controllers set state = 'active', changed = ? where sha256 = ? and state != 'faulted'",
                [now(), sha256],
            )
            db.execute(
                "delete from controllers where state != 'active' and last_known_good is null and sha256 not in "
                "(select sha256 from controllers order by changed desc limit ?)",
                [_KEPT_CONTROLLERS],
            )

    def deactivate_controllers(self) -> None:
        """Record that no controller is to be loaded."""
        with self._transaction() as db:
            db.execute(
                "update controllers set state = 'inactive', changed = ? where state = 'active'", [now()]
            )

    def mark_controller_good(self, sha256: str) -> None:
        """Record that this controller ran through its watch."""
        with self._transaction() as db:
            # The order is not that of the times: a robot's clock may go back.
            db.execute(
                "update controllers set last_known_good = ?, "
                "good_order = (select coalesce(max(good_order), 0) + 1 from controllers) where sha256 = ?",
                [now(), sha256],
            )

    def mark_controller_faulted(self, sha256: str, fault: str) -> None:
        """Record that this controller failed: it is never restored by itself."""
        with self._transaction() as db:
            db.execute(
                "update controllers set state = 'faulted', fault = ?, changed = ? where sha256 = ?",
                [fault, now(), sha256],
            )

    # --- journal of deployments ----------------------------------------------------------------------------------

    def journal(self, deployment: str, sha256: str, origin: str, step: str, detail: str = "") -> None:
        """Append one step of a deployment."""
        with self._transaction() as db:
            db.table("deployments").insert(
                {
                    "deployment": deployment,
                    "time": now(),
                    "sha256": sha256,
                    "origin": origin,
                    "step": step,
                    "detail": detail,
                }
            )

    def record_stage_outcome(self, deployment: str, sha256: str, outcome: dict[str, Any]) -> None:
        """Record what became of a stage of a trial, as the core tells it (`lifecycle.outcome`)."""
        keys = ("stage", "result", "reason", "tick", "channel", "value", "message")
        with self._transaction() as db:
            db.table("stage_outcomes").insert(
                {
                    "deployment": deployment,
                    "time": now(),
                    "sha256": sha256,
                    **{key: outcome.get(key) for key in keys},
                }
            )

    def stage_outcomes(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest outcomes of stages, oldest first."""
        with _explained(self.path):
            rows = list(self._db.query("select * from stage_outcomes order by id desc limit ?", [limit]))
        return rows[::-1]

    def deployments(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest journal entries, oldest first."""
        with _explained(self.path):
            rows = list(self._db.query("select * from deployments order by id desc limit ?", [limit]))
        return rows[::-1]

    def unfinished_deployments(self, final_steps: frozenset[str]) -> list[dict[str, Any]]:
        """Return the last entry of each deployment that ended with none of `final_steps`."""
        with _explained(self.path):
            rows = self._db.query(
                "select * from deployments where id in (select max(id) from deployments group by deployment) "
                "order by id"
            )
            return [row for row in rows if row["step"] not in final_steps]

    # --- tasks ---------------------------------------------------------------------------------------------------

    def add_task(self, task: str, kind: str, payload: dict[str, Any], *, requires_fleet: bool) -> bool:
        """Journal a task; False if its id was journalled before (the first one stands)."""
        with self._transaction() as db:
            added = db.execute(
                "insert into tasks (id, kind, payload, requires_fleet, state, attempts, received, changed) "
                "values (?, ?, ?, ?, 'queued', 0, ?, ?) on conflict (id) do nothing",
                [task, kind, json.dumps(payload), int(requires_fleet), now(), now()],
            )
            return bool(added.rowcount)

    def requeue_interrupted_tasks(self) -> int:
        """Queue again what ran when the worker died; returns how many."""
        with self._transaction() as db:
            return int(
                db.execute(
                    "update tasks set state = 'queued', changed = ? where state = 'running'", [now()]
                ).rowcount
            )

    def take_task(self, *, fleet_link: bool) -> TaskRecord | None:
        """Mark the oldest task that may run now as running and return it."""
        with self._transaction() as db:
            rows = db.query(
                "update tasks set state = 'running', attempts = attempts + 1, changed = ? where id = "
                "(select id from tasks where state = 'queued' and (requires_fleet = 0 or ?) order by rowid limit 1) "
                "returning *",
                [now(), int(fleet_link)],
            )
            row = next(iter(list(rows)), None)
        if row is None:
            return None
        return TaskRecord(
            row["id"],
            row["kind"],
            json.loads(row["payload"]),
            bool(row["requires_fleet"]),
            row["state"],
            row["attempts"],
        )

    def put_back_task(self, task: str) -> None:
        """Queue a task again that could not be run, as if it had not been taken."""
        with self._transaction() as db:
            db.execute(
                "update tasks set state = 'queued', attempts = attempts - 1, changed = ? where id = ?",
                [now(), task],
            )

    def finish_task(self, task: str, result: dict[str, Any]) -> None:
        """Record the result and that the task is done, at once or not at all; of the task its id stays."""
        with self._transaction() as db:
            db.table("tasks").update(task, {"state": "done", "payload": "{}", "changed": now()})
            db.table("results").insert({"task": task, "payload": json.dumps(result), "finished": now()})

    def unpublished_result(self) -> ResultRecord | None:
        """Return the oldest result that nobody has confirmed yet."""
        with _explained(self.path):
            row = self._db.execute(
                "select task, payload from results where published is null order by number limit 1"
            ).fetchone()
        return ResultRecord(row[0], row[1].encode()) if row else None

    def mark_result_published(self, task: str) -> None:
        """Record that the stream has confirmed the result of this task, and forget the oldest of those."""
        with self._transaction() as db:
            db.execute("update results set published = ? where task = ?", [now(), task])
            db.execute(
                "delete from results where published is not null and "
                "number <= (select max(number) from results) - ?",
                [_KEPT_RESULTS],
            )

    def task_counts(self) -> dict[str, int]:
        """Return the number of tasks in each state, and of results not yet published."""
        with _explained(self.path):
            counts = dict(self._db.execute("select state, count(*) from tasks group by state").fetchall())
            waiting = self._db.execute("select count(*) from results where published is null").fetchone()[0]
        return {
            "queued": counts.get("queued", 0),
            "running": counts.get("running", 0),
            "done": counts.get("done", 0),
            "results_unpublished": waiting,
        }

    # --- counters and facts --------------------------------------------------------------------------------------

    def count(self, name: str, by: int = 1) -> int:
        """Add to a counter that survives restarts; returns its new value."""
        with self._transaction() as db:
            rows = db.execute(
                "insert into counters (name, value) values (?, ?) "
                "on conflict (name) do update set value = value + excluded.value returning value",
                [name, by],
            ).fetchall()
        return int(rows[0][0])

    def counters(self) -> dict[str, int]:
        """Return all counters."""
        with _explained(self.path):
            return dict(self._db.execute("select name, value from counters order by name").fetchall())

    def fact(self, name: str) -> str | None:
        """Return a small remembered value, None if there is none."""
        with _explained(self.path):
            row = self._db.execute("select value from facts where name = ?", [name]).fetchone()
        return row[0] if row else None

    def remember(self, name: str, value: str) -> None:
        """Remember a small value under a name."""
        with self._transaction() as db:
            db.table("facts").upsert({"name": name, "value": value}, pk="name")

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        with _explained(self.path):
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                if self._db.conn.in_transaction:
                    self._db.execute("rollback")
                raise
            try:
                self._db.execute("commit")
            except sqlite3.Error:
                if self._db.conn.in_transaction:
                    self._db.execute("rollback")
                raise


class StoreThread:
    """Runs the store's methods one after another in a thread of their own, off the event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def __call__(self, method: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Run a bound method of the store and return its result."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: method(*arguments, **named)
        )

    def close(self) -> None:
        """Finish what was begun and close the database."""
        self._executor.submit(self.store.close)
        self._executor.shutdown()


def _open_checked(path: Path) -> Database:
    # isolation_level=None: transactions are begun and ended here, in one place, never behind our back.
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        verdict = [row[0] for row in connection.execute("pragma quick_check")]
        if verdict != ["ok"]:
            damage = sqlite3.DatabaseError("; ".join(verdict))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return Database(connection)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version > len(STEPS):
        raise StoreError(
            f"{path} has schema {version}, this holdfast knows {len(STEPS)}: install the newer version again, or move "
            "the file away to begin without its controllers and tasks"
        )
    for number in range(version, len(STEPS)):
        connection.execute("begin immediate")
        try:
            STEPS[number](Database(connection))
            connection.execute(f"pragma user_version = {number + 1}")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    damaged = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(damaged.with_name(damaged.name + suffix))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return damaged


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, in words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StoreFullError(
                f"{path}: no space is left for the database; free some, nothing was lost"
            ) from error
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
