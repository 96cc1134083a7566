"""The power goes at any moment of an update; the robot settles it by itself, and keeps what was proved."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from robot_process import MOMENTS
from servers import NatsServer
from simulated_robot import SINE, TRAPS_LATER, controller
from world import World, publish, world

from holdfast_ota.journal import State
from holdfast_ota.repository import Repository

TIME_LIMIT_S = 60


def cut_power_at(moment: str, repository: Repository, robot: Path, bus: NatsServer) -> None:
    script = Path(__file__).with_name("robot_process.py")
    arguments = [str(robot), str(repository.pinned_root), str(repository.published), bus.url, moment]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, script, *arguments], env=environment, timeout=TIME_LIMIT_S, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


async def commit_first(repository: Repository, robot: Path, bus: NatsServer) -> None:
    publish(repository, SINE, "1")
    async with world(robot, repository.pinned_root, repository.published, bus.url) as here:
        await here.run_until("committed")


async def settle(here: World) -> None:
    await here.until(lambda: bool(here.reports), "the first check")


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_robot_settles_what_a_power_cut_left(
    repository: Repository, tmp_path: Path, bus: NatsServer, moment: str
) -> None:
    robot = tmp_path / "robot"
    asyncio.run(commit_first(repository, robot, bus))
    fails = moment in {"failing", "loaded back"}
    publish(repository, TRAPS_LATER if fails else controller(), "2")
    cut_power_at(moment, repository, robot, bus)

    async def after() -> None:
        async with world(robot, repository.pinned_root, repository.published, bus.url) as here:
            await settle(here)
            assert not here.robot.armed
            if fails:
                await here.until(lambda: here.attempts()[0].state is State.ROLLED_BACK, "a roll-back")
                assert here.robot.version == "1"
                assert (await here.check()).reason == "bad-version"
                return
            if moment in {"loaded", "watching", "ran"}:
                await here.settled("rolled_back")
                origins = [load[2] for load in here.robot.loads]
                assert origins[:2] == ["boot", "ota-rollback"], "what was not proved is not kept"
            # The cut was not the version's fault: it is tried again, and can still prove itself.
            await here.run_until("committed")
            assert here.robot.version == "2"

    asyncio.run(after())


def test_a_power_cut_at_the_load_leaves_the_way_back_to_what_a_person_loaded_while_the_update_waited(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    robot = tmp_path / "robot"

    async def before() -> None:
        publish(repository, SINE, "1")
        async with world(robot, repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")
            publish(repository, controller(), "2")
            assert (await here.check()).state == "staged"
            await here.robot.deploy("hotfix", "1", controller(amplitude=0.3).encode(), "operator")

    async def after() -> None:
        async with world(robot, repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("rolled_back")
            assert here.robot.loads[:2] == [("motion", "2", "boot"), ("hotfix", "1", "ota-rollback")]

    asyncio.run(before())
    cut_power_at("loaded", repository, robot, bus)
    asyncio.run(after())


def test_a_version_that_runs_into_power_cuts_again_and_again_is_given_up(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    robot = tmp_path / "robot"
    asyncio.run(commit_first(repository, robot, bus))
    publish(repository, controller(), "2")
    for _ in range(3):
        cut_power_at("ran", repository, robot, bus)

    async def after() -> None:
        async with world(robot, repository.pinned_root, repository.published, bus.url) as here:
            report = await here.settled("rolled_back")
            assert "3 times while it ran" in report["sentence"]
            assert (await here.check()).reason == "bad-version"
            assert here.robot.version == "1"

    asyncio.run(after())
