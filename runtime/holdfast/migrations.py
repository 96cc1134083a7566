"""The worker's database schema as numbered steps; the number of the last one is SQLite's `user_version`.

Steps are only ever appended: a robot in the field may come from any of them.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database


def _initial(db: Database) -> None:
    db.table("controllers").create(
        {
            "sha256": str,
            "name": str,
            "version": str,
            "source": bytes,
            "cwasm": str,
            "state": str,
            "fault": str,
            "added": str,
            "changed": str,
            "last_known_good": str,
        },
        pk="sha256",
        not_null={"name", "version", "source", "state", "added", "changed"},
        strict=True,
    )
    db.table("deployments").create(
        {"id": int, "deployment": str, "time": str, "sha256": str, "origin": str, "step": str, "detail": str},
        pk="id",
        not_null={"deployment", "time", "sha256", "origin", "step"},
        strict=True,
    )
    db.table("deployments").create_index(["deployment"])
    db.table("tasks").create(
        {
            "id": str,
            "kind": str,
            "payload": str,
            "requires_fleet": int,
            "state": str,
            "attempts": int,
            "received": str,
            "changed": str,
        },
        pk="id",
        not_null={"kind", "payload", "requires_fleet", "state", "attempts", "received", "changed"},
        strict=True,
    )
    db.table("results").create(
        {"number": int, "task": str, "payload": str, "finished": str, "published": str},
        pk="number",
        not_null={"task", "payload", "finished"},
        foreign_keys=[("task", "tasks", "id")],
        strict=True,
    )
    db.table("results").create_index(["task"], unique=True)
    db.table("counters").create({"name": str, "value": int}, pk="name", not_null={"value"}, strict=True)
    db.table("facts").create({"name": str, "value": str}, pk="name", strict=True)


def _stage_outcomes(db: Database) -> None:
    """What became of each trial: which stage, and if it was rejected, in which tick and by which value."""
    db.table("stage_outcomes").create(
        {
            "id": int,
            "deployment": str,
            "time": str,
            "sha256": str,
            "stage": str,
            "result": str,
            "reason": str,
            "tick": int,
            "channel": str,
            "value": float,
            "message": str,
        },
        pk="id",
        not_null={"deployment", "time", "sha256", "stage", "result"},
        strict=True,
    )
    db.table("stage_outcomes").create_index(["deployment"])


def _order_and_room(db: Database) -> None:
    """Which controller proved good last, whatever the clock says; and of tasks only what is still to be known."""
    db.table("controllers").add_column("good_order", int)
    db.execute(
        "update controllers set good_order = (select count(*) from controllers as other "
        "where other.last_known_good <= controllers.last_known_good) where last_known_good is not null"
    )
    db.table("tasks").create_index(["state"])
    db.execute("update tasks set payload = '{}' where state = 'done'")


STEPS: list[Callable[[Database], None]] = [_initial, _stage_outcomes, _order_and_room]
