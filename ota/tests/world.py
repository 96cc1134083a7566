"""A simulated robot that follows a repository with the real client, store and journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nats
import wasmtime
from nats.aio.client import Client
from simulated_robot import CHECK_TICKS, SimulatedRobot

from holdfast.config import RobotConfig
from holdfast.store import Store, StoreThread
from holdfast_ota.journal import Attempt, Journal
from holdfast_ota.repository import Repository
from holdfast_ota.robot import OtaClient, Outcome
from holdfast_ota.target import Kind

DEADLINE_S = 15.0
WINDOW_TICKS = 300


def configuration(source: Path | str, *, activate: str = "disarmed", poll_s: float = 3600.0) -> RobotConfig:
    """Return the sections of robot.toml that the client reads."""
    ota = SimpleNamespace(
        controller="motion", health_window_s=3.0, poll_s=poll_s, source=str(source), activate=activate
    )
    sections = SimpleNamespace(
        robot=SimpleNamespace(id="arm-01"), control=SimpleNamespace(controller_hz=WINDOW_TICKS / 3.0), ota=ota
    )
    return cast(RobotConfig, sections)


def lose_database(directory: Path) -> None:
    """Take away what the worker of a robot that is off has remembered."""
    for file in directory.glob("worker.db*"):
        file.unlink()


def publish(repository: Repository, wat: str, version: str | None = None) -> None:
    """Publish a controller without the publisher's own checks, as a careless publisher would."""
    repository.publish(Kind.CONTROLLER, "motion", bytes(wasmtime.wat2wasm(wat)), version=version)


class World:
    """One robot and what it follows."""

    def __init__(self, client: OtaClient, robot: SimulatedRobot, bus: Client, directory: Path) -> None:
        self.client = client
        self.robot = robot
        self.bus = bus
        self.directory = directory
        self.reports: list[dict[str, Any]] = []

    async def check(self) -> Outcome:
        """Look for an update now."""
        return await self.client.check()

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Wait for what the client does in the background."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                result = condition()
                if result if isinstance(result, bool) else await result:
                    return
                await asyncio.sleep(0.01)
        raise AssertionError(what)

    async def settled(self, state: str) -> dict[str, Any]:
        """Wait for a report of a state."""
        await self.until(lambda: any(report["state"] == state for report in self.reports), state)
        return next(report for report in self.reports if report["state"] == state)

    async def run_until(self, state: str) -> dict[str, Any]:
        """Once an update is loaded, arm and let it run until a state is reported."""
        await self.settled("watching")
        self.robot.armed = True
        async with asyncio.timeout(DEADLINE_S):
            while not any(report["state"] == state for report in self.reports):
                self.robot.run(5)
                await asyncio.sleep(0.01)
        return await self.settled(state)

    def attempts(self) -> list[Attempt]:
        """Read the client's journal."""
        journal = Journal(self.directory / "ota" / "ota.db")
        try:
            return journal.attempts()
        finally:
            journal.close()


@asynccontextmanager
async def world(
    directory: Path,
    root_file: Path,
    source: Path | str,
    bus_url: str,
    *,
    activate: str = "disarmed",
    poll_s: float = 3600.0,
    check_ticks: int = CHECK_TICKS,
) -> AsyncIterator[World]:
    """Start a robot that has its state in `directory`; leaving is an orderly stop."""
    bus = await nats.connect(bus_url)
    store = StoreThread(Store.open(directory / "worker.db"))
    robot = SimulatedRobot(store, check_ticks=check_ticks)
    await robot.boot()
    client = OtaClient(
        configuration(source, activate=activate, poll_s=poll_s),
        robot,
        store,
        bus,
        core=robot.status,
        root_file=root_file,
        directory=directory / "ota",
    )
    this = World(client, robot, bus, directory)

    async def hear(message: Any) -> None:
        this.reports.append(json.loads(message.data))

    await bus.subscribe("holdfast.arm-01.ota", cb=hear)
    await bus.flush()
    running = asyncio.create_task(client.run())
    try:
        await client.settled.wait()
        yield this
    finally:
        running.cancel()
        await asyncio.wait([running])
        store.close()
        await bus.close()
