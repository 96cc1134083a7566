"""What the bench asks on the robot itself, over ssh: `python -m holdfast_bench.guest.ask`.

Each line of standard input is a JSON list of words; a line with one JSON object answers. It runs for as long as the
bench asks: emulated, starting Python for each question takes longer than anything that is asked.

socket NAME REQUEST     one JSON request to a daemon's socket below the run directory (plant-control.sock)
publish SUBJECT PAYLOAD a JetStream message on the robot's own broker, acknowledged by its stream
fleet_link ROBOT        whether the robot's worker knows the fleet to be within reach
task ID                 the state of a task in the worker's database
database                SQLite's quick_check of the worker's database
integrity               its integrity_check, which reads all of it
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from typing import Any

import nats
from nats.aio.client import Client

from holdfast.errors import HoldfastError
from holdfast.places import run_directory, state_directory
from holdfast.seqpacket import ask

LOCAL_BROKER = "nats://127.0.0.1:4222"


async def _connect() -> Client:
    """Connect to the robot's own broker, or fail at once: who asks decides about asking again."""

    async def unsaid(error: Exception) -> None:
        """Say nothing: the exception that is raised says it, and the lines of this program are its answers."""

    return await nats.connect(LOCAL_BROKER, allow_reconnect=False, error_cb=unsaid)


async def _publish(subject: str, payload: str) -> dict[str, Any]:
    connection = await _connect()
    try:
        acknowledged = await connection.jetstream().publish(subject, payload.encode())
        return {"ok": True, "stream": acknowledged.stream, "sequence": acknowledged.seq}
    finally:
        await connection.close()


async def _fleet_link(robot: str) -> dict[str, Any]:
    connection = await _connect()
    try:
        answer = await connection.request(f"holdfast.{robot}.status", b"{}", timeout=10.0)
        return {"ok": True, "up": json.loads(answer.data)["worker"]["fleet_link"]}
    finally:
        await connection.close()


def _query(statement: str, *arguments: str) -> list[Any]:
    database = sqlite3.connect(f"file:{state_directory() / 'worker.db'}?mode=ro", uri=True)
    try:
        return [row[0] for row in database.execute(statement, arguments)]
    finally:
        database.close()


def _answer(arguments: list[str]) -> dict[str, Any]:
    match arguments:
        case ["socket", name, request]:
            return asyncio.run(ask(run_directory() / name, json.loads(request)))
        case ["publish", subject, payload]:
            return asyncio.run(_publish(subject, payload))
        case ["fleet_link", robot]:
            return asyncio.run(_fleet_link(robot))
        case ["task", task]:
            return {
                "ok": True,
                "state": next(iter(_query("select state from tasks where id = ?", task)), None),
            }
        case ["database"]:
            return {"ok": True, "quick_check": _query("pragma quick_check")}
        case ["integrity"]:
            return {"ok": True, "integrity_check": _query("pragma integrity_check")}
    raise ValueError(f"unknown question {arguments}; known are those of this module's first lines")


def main() -> None:
    """Answer until standard input ends; {"ok": false, "error"} where there is no answer."""
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line))
        except (HoldfastError, OSError, ValueError, sqlite3.Error, nats.errors.Error) as error:
            answer = {"ok": False, "error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
