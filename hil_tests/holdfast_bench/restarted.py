"""A robot that goes on with what a drive holds: its daemons as processes of this machine, on a copy of its files.

Broker, safety daemon, core and worker read what a power cut has left as they do on the robot, and are then asked for
what it had acknowledged. What runs before them, kernel and systemd, is not part of it.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.host_session import HostSession
from holdfast.modes import MOVING
from holdfast_bench.data_partition import NotKept, unpack
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_image.payload import sha256_of

_STATE, _ETC = "lib/holdfast", "lib/overlay/etc"
KEPT = {"etc": "/var/lib/overlay/etc", "state/controllers": "/var/lib/holdfast/controllers"}
"""Folders whose files are written once and read at each start: here, and on the robot."""
_STREAMS, _LIFE = "nats", "life"
_READY_S = 120.0
SETTLE_LIMIT_S = 120.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Expected:
    """What a robot must know after its power was cut."""

    tasks: frozenset[str]
    """Their ids: each was acknowledged, so it is answered, once."""
    controllers: frozenset[str]
    """The SHA-256 of those of which one is loaded; "" stands for none."""
    latched: bool
    """Whether a stop must be latched; if not, one may be: a reset counts once it is written."""


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
        unpack(file_system, folder / "var")
        for here, there in (("state", _STATE), ("etc", _ETC)):
            (folder / "var" / there).mkdir(parents=True, exist_ok=True)  # a start makes them too
            (folder / "var" / there).rename(folder / here)
        broker = folder / "broker"
        broker.mkdir()
        if (streams := folder / "state" / _STREAMS).is_dir():
            streams.rename(broker / "jetstream")
            if (life := broker / "jetstream" / _LIFE).exists():
                shutil.copy(life, broker / _LIFE)
        return cls(folder)

    @property
    def robot_file(self) -> Path:
        """The robot's own robot.toml."""
        return self.folder / "etc" / "holdfast" / "robot.toml"

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files of `KEPT`, by their path on the robot."""
        return {
            f"{path}/{file.relative_to(self.folder / here)}": sha256_of(file)
            for here, path in KEPT.items()
            for file in (self.folder / here).rglob("*")
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
    with closing(sqlite3.connect(state / "worker.db")) as database:
        verdict = [row[0] for row in database.execute("pragma integrity_check")]
    if verdict != ["ok"]:
        raise NotKept(f"the worker's database is damaged: {'; '.join(verdict)}")


async def _ask(session: HostSession, expected: Expected, settle_limit_s: float) -> None:
    status = await session.target.status()
    if (mode := status["control"]["mode"]) in MOVING:
        raise NotKept(f"nobody has armed it, and it is {mode}")
    if expected.latched and not status["safety"]["latched"]:
        raise NotKept("the stop is not latched any more")

    async def active() -> str:
        controller = (await session.target.status())["control"]["controller"]
        return str((controller or {}).get("sha256", ""))

    async def loaded() -> bool:
        return await active() in expected.controllers

    if not await _within(settle_limit_s, loaded):
        raise NotKept(
            f"the controller is {await active() or 'none'}, not {' or '.join(sorted(expected.controllers))}"
        )

    async def answers() -> Counter[str]:
        subject = f"holdfast.{session.robot_id}.result"
        return Counter(str(m["id"]) for m in await stream_messages(session.hub.url, "FLEET_RESULTS", subject))

    async def answered() -> bool:
        return expected.tasks <= (await answers()).keys()

    if not await _within(settle_limit_s, answered):
        missing = sorted(expected.tasks - (await answers()).keys())
        raise NotKept(f"acknowledged and never answered: {', '.join(missing)}")
    if twice := sorted(task for task, times in (await answers()).items() if times > 1):
        raise NotKept(f"answered more than once: {', '.join(twice)}")


async def _within(limit_s: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether the condition holds before the limit is over."""
    end = time.monotonic() + limit_s
    while not await condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL_S)
    return True
