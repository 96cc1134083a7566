"""What the bench asks on the robot itself, over ssh: `python -m holdfast_bench.guest.ask`.

Each line of standard input is a JSON list of words; a line with one JSON object answers. It runs for as long as the
bench asks: emulated, starting Python for each question takes longer than anything that is asked.

socket NAME REQUEST     one JSON request to a daemon's socket below the run directory (plant-control.sock)
publish SUBJECT PAYLOAD a JetStream message on the robot's own broker, acknowledged by its stream
fleet_link ROBOT        whether the robot's worker knows the fleet to be within reach
task ID                 the state of a task in the worker's database
database                SQLite's quick_check of the worker's database
integrity               its integrity_check, which reads all of it
failed_units            the names of systemd's failed units
journal_cursor          the place where the journal ends now
journal CURSOR          the journal's entries behind a place, each a line of JSON, and the place where it ends now
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from typing import Any

import nats
from nats.aio.client import Client

from holdfast.errors import HoldfastError
from holdfast.places import run_directory, state_directory
from holdfast.seqpacket import ask

LOCAL_BROKER = "nats://127.0.0.1:4222"
_JOURNAL_FIELDS = "--output-fields=PRIORITY,MESSAGE,UNIT,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER"
_NO_ANSWER = (HoldfastError, OSError, ValueError, LookupError, sqlite3.Error, nats.errors.Error)


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


def _said_by(*command: str) -> list[str]:
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        raise ValueError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    # Not splitlines(): a message may hold what else Unicode counts as the end of a line.
    return [line for line in done.stdout.split("\n") if line]


def _journal(*selection: str) -> list[str]:
    return _said_by("journalctl", "--quiet", "--no-pager", "--output=json", _JOURNAL_FIELDS, *selection)


def _cursor(lines: list[str]) -> str:
    """Return the place of the last entry; journalctl prints it with each."""
    return str(json.loads(lines[-1])["__CURSOR"])


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
        case ["failed_units"]:
            failed = _said_by("systemctl", "list-units", "--failed", "--plain", "--no-legend")
            return {"ok": True, "units": [line.split()[0] for line in failed]}
        case ["journal_cursor"]:
            return {"ok": True, "cursor": _cursor(_journal("--lines=1"))}
        case ["journal", cursor]:
            lines = _journal(f"--after-cursor={cursor}")
            return {"ok": True, "lines": lines, "cursor": _cursor(lines) if lines else cursor}
    raise ValueError(f"unknown question {arguments}; known are those of this module's first lines")


def main() -> None:
    """Answer until standard input ends; {"ok": false, "error"} where there is no answer."""
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line))
        except _NO_ANSWER as error:
            answer = {"ok": False, "error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
