"""A robot that goes on with what a drive holds: its daemons as processes of this machine, on a copy of its files.

Broker, safety daemon, core and worker read what a power cut has left, and are then asked for what the robot had
acknowledged. What runs before them, kernel and systemd, is not part of it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats.errors

from holdfast.errors import HoldfastError
from holdfast.host_session import HostSession
from holdfast.modes import MOVING
from holdfast_bench.data_partition import NotKept, unpack
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_image.guest.broker import forget_summaries
from holdfast_image.payload import sha256_of

_STATE, _ETC = "/lib/holdfast", "/lib/overlay/etc"
_LIFE = "broker/jetstream/life"
KEPT = {
    "etc": "/var/lib/overlay/etc",
    "state/controllers": "/var/lib/holdfast/controllers",
    _LIFE: "/var/lib/holdfast/nats/life",
}
"""What is written once and read at each start, files and folders of files: here, and on the robot."""
SETTLE_LIMIT_S = 120.0
_READY_S = 120.0
_POLL_S = 0.1
_NOT_NOW = (HoldfastError, nats.errors.Error, OSError, LookupError)
"""A daemon that is busy gives no answer, or one that says so."""


@dataclass(frozen=True)
class Expected:
    """What a robot must know after its power was cut."""

    tasks: frozenset[str]
    """Their ids: each was acknowledged, so it is answered, once."""
    controllers: frozenset[str]
    """The SHA-256 of those of which one is loaded; "" stands for none."""
    stop: int | None
    """The number of the operator's stop that is latched; None: there may be one, since a reset is not promised."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What the fleet had already been answered, by task: it is the answer."""


@dataclass(frozen=True)
class Files:
    """What was unpacked from a data partition, in the form in which processes of this machine take it."""

    folder: Path
    """Of a `HostSession`; its path is short, since there are sockets in it."""

    @classmethod
    def unpacked(cls, file_system: Path, folder: Path) -> Files:
        """Lay out what a checked file system holds in the folder, which is not there yet.

        Raises:
            NotKept: it cannot be read.
        """
        folder.mkdir()
        unpack(file_system, (_STATE, _ETC), folder)
        state, etc = folder / Path(_STATE).name, folder / Path(_ETC).name
        for made_by_a_start in (state / "nats", etc, folder / "broker"):
            made_by_a_start.mkdir(parents=True, exist_ok=True)
        state.rename(folder / "state")
        (folder / "state" / "nats").rename(folder / "broker" / "jetstream")
        if (folder / _LIFE).exists():
            shutil.copy(folder / _LIFE, folder / "broker")
        return cls(folder)

    @property
    def robot_file(self) -> Path:
        """The robot's own robot.toml."""
        return self.folder / "etc" / "holdfast" / "robot.toml"

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files of `KEPT`, by their path on the robot."""
        return {
            path
            if file == self.folder / here
            else f"{path}/{file.relative_to(self.folder / here)}": sha256_of(file)
            for here, path in KEPT.items()
            for file in (self.folder / here, *(self.folder / here).rglob("*"))
            if file.is_file() and not file.is_symlink()
        }


def require_whole(files: Files, may_be: Mapping[str, frozenset[str | None]]) -> None:
    """Hold files against what they may be; None: not there. Others nobody reads.

    Raises:
        NotKept: one is something else.
    """
    found = files.digests()
    for path, digests in sorted(may_be.items()):
        if found.get(path) not in digests:
            raise NotKept(f"{path} is {'not as it was written' if path in found else 'gone'}")


async def prove(
    files: Files, expected: Expected, broker: Path, logs: Path, settle_limit_s: float = SETTLE_LIMIT_S
) -> None:
    """Start a robot on the files, its broker run by the program `broker`, and ask it for what it must know.

    `settle_limit_s`: how long a robot that is ready may take to load its controller and to answer its tasks.

    Raises:
        NotKept: something that was acknowledged is not there, or the robot does not start.
    """
    forget_summaries(files.folder / "broker" / "jetstream")  # as on the robot, before its server starts
    session = HostSession(files.robot_file, logs, files.folder, broker)
    try:
        await session.start(lambda _: None)
        await session.wait_ready(_READY_S)
        await _ask(session, expected, settle_limit_s)
    except HoldfastError as error:
        raise NotKept(f"the robot does not start again: {error}") from error
    finally:
        await session.close()
    state = session.state_directory
    if damaged := sorted(path.name for path in state.rglob("*damaged*")):
        raise NotKept(f"it was set aside as damaged: {', '.join(damaged)}")
    try:
        with closing(sqlite3.connect(state / "worker.db")) as database:
            verdict = "; ".join(row[0] for row in database.execute("pragma integrity_check"))
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise NotKept(f"the worker's database is damaged: {verdict}")


async def _ask(session: HostSession, expected: Expected, settle_limit_s: float) -> None:
    status: dict[str, Any] = {}

    async def settled() -> bool:
        status.clear()
        status.update(await session.target.status())
        tasks = status["worker"]["tasks"]
        left = tasks["queued"] + tasks["running"] + tasks["results_unpublished"]
        all_answer = status["safety"]["latch_sequence"] is not None
        return all_answer and _active(status) in expected.controllers and not left

    async def answered() -> bool:
        return expected.tasks <= (await _answers(session)).keys()

    in_time = await _within(settle_limit_s, settled) and await _within(settle_limit_s, answered)
    if (mode := status["control"]["mode"]) in MOVING:
        raise NotKept(f"nobody has armed it, and it is {mode}")
    if _active(status) not in expected.controllers:
        wanted = " or ".join(sha256 or "none" for sha256 in sorted(expected.controllers))
        raise NotKept(f"the controller is {_active(status) or 'none'}, not {wanted}")
    safety = status["safety"]
    if expected.stop is not None and (safety["latch_sequence"], safety["cause"]) != (
        expected.stop,
        "operator",
    ):
        raise NotKept(f"stop {expected.stop} of the operator is not latched any more: {safety}")
    answers = await _answers(session)
    if missing := sorted(expected.tasks - answers.keys()):
        raise NotKept(f"acknowledged and never answered: {', '.join(missing)}")
    if not in_time:
        raise NotKept(f"it does not come to rest: {status['worker']['tasks']}")
    if twice := sorted(task for task, given in answers.items() if len(given) > 1):
        raise NotKept(f"answered more than once: {', '.join(twice)}")
    if other := sorted(task for task, answer in expected.answers.items() if answers.get(task) != [answer]):
        raise NotKept(f"answered anew, though the fleet had the answer: {', '.join(other)}")


def _active(status: dict[str, Any]) -> str:
    return str((status["control"]["controller"] or {}).get("sha256", ""))


async def _answers(session: HostSession) -> dict[str, list[str]]:
    subject = f"holdfast.{session.robot_id}.result"
    return by_task(await stream_messages(session.hub.url, "FLEET_RESULTS", subject))


def by_task(messages: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the answers to each task, as text."""
    given = defaultdict(list)
    for message in messages:
        given[str(message["id"])].append(json.dumps(message, sort_keys=True))
    return dict(given)


async def _within(limit_s: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether the condition holds before the limit is over.

    Raises:
        NotKept: nobody has answered by then.
    """
    end = time.monotonic() + limit_s
    while True:
        unanswered = None
        try:
            if await condition():
                return True
        except _NOT_NOW as error:
            unanswered = error
        if time.monotonic() > end:
            if unanswered is not None:
                raise NotKept(f"the robot does not answer: {unanswered!r}") from unanswered
            return False
        await asyncio.sleep(_POLL_S)
