"""The whole line on this machine: publisher, hub, leaf node, worker, holdfast-verify, core, safety daemon and plant."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from simulated_robot import SINE, TRAPS_LATER
from world import publish

from holdfast.daemons import CoreClient
from holdfast.errors import RefusedError
from holdfast.host_session import HostSession
from holdfast_ota.mirror import mirror
from holdfast_ota.repository import Repository

ROBOT = Path(__file__).resolve().parents[2] / "examples/robots/arm.toml"
DEADLINE_S = 120.0


class Operator:
    """A person with the robot before them, and its messages on a screen."""

    def __init__(self, session: HostSession, hub: Client) -> None:
        self._session = session
        self._hub = hub

    async def check(self) -> dict[str, Any]:
        """Ask the robot to look for an update."""
        reply = await self._hub.request("holdfast.arm-01.ota.check", b"", timeout=DEADLINE_S)
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def core(self) -> dict[str, Any]:
        """Return the core's status."""
        async with await CoreClient.connect(self._session.run_directory) as core:
            return await core.status()

    async def arm(self) -> None:
        """Arm, as soon as nothing speaks against it."""

        async def armed() -> bool:
            try:
                async with await CoreClient.connect(self._session.run_directory) as core:
                    await core.arm()
            except RefusedError:
                return False
            return True

        await until(armed)

    async def disarm(self) -> None:
        """Disarm, and wait for the standstill."""
        async with await CoreClient.connect(self._session.run_directory) as core:
            await core.disarm()

        async def still() -> bool:
            return bool((await self.core())["mode"] == "disarmed")

        await until(still)

    async def until_checked(self, state: str) -> dict[str, Any]:
        """Ask until the robot answers with a state."""
        answer: dict[str, Any] = {}

        async def reached() -> bool:
            answer.update(await self.check())
            return bool(answer["state"] == state)

        await until(reached)
        return answer


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():
            await asyncio.sleep(0.1)


async def scenario(directory: Path) -> None:
    repository = Repository.create(directory / "fleet")
    publish(repository, SINE, "1")
    home = directory / "robot"
    (home / "ota").mkdir(parents=True)
    shutil.copy(repository.pinned_root, home / "ota" / "root.json")
    session = HostSession(ROBOT, directory / "logs", home)
    try:
        await session.start(lambda _step: None)
        await session.wait_ready(DEADLINE_S)
        hub = await nats.connect(session.hub.url)
        try:
            await mirror(repository, session.hub.url)
            await commit_then_roll_back(Operator(session, hub), repository, session.hub.url)
        finally:
            await hub.close()
    finally:
        await session.close()


async def commit_then_roll_back(operator: Operator, repository: Repository, hub_url: str) -> None:
    await operator.until_checked("watching")
    assert (await operator.core())["mode"] == "disarmed", "an update never arms"
    await operator.arm()
    await operator.until_checked("current")

    publish(repository, TRAPS_LATER, "2")
    await mirror(repository, hub_url)
    waiting = await operator.check()
    assert waiting["state"] == "staged", waiting
    running = (await operator.core())["controller"]
    assert (running["state"], running["version"]) == ("running", "1"), "a moving robot is left alone"

    await operator.disarm()
    await operator.until_checked("watching")
    await operator.arm()
    refusal = await operator.until_checked("refused")
    assert refusal["reason"] == "bad-version"
    assert "it trapped" in refusal["error"]
    core = await operator.core()
    assert core["mode"] == "disarmed", "a roll-back never arms"
    assert (core["controller"]["version"], core["controller"]["fault"]) == ("1", "none")


def test_a_good_update_is_committed_and_one_that_traps_is_rolled_back(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_OTA__POLL_S", "3600.0")
    monkeypatch.setenv("HOLDFAST_OTA__HEALTH_WINDOW_S", "2.0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    # A short path: Unix socket names have 107 bytes.
    asyncio.run(scenario(tmp_path_factory.mktemp("ota")))
