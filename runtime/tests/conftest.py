"""Real parts for the tests: brokers, and robots of processes, started and stopped here."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from holdfast.host_session import HostSession

REPOSITORY = Path(__file__).parents[2]
ARM = REPOSITORY / "examples" / "robots" / "arm.toml"
READY_S = 120.0

Scenario = Callable[[HostSession], Awaitable[None]]


class RunOnRobot(Protocol):
    """Runs a scenario on a robot of real processes; called again, the robot has the same disk."""

    def __call__(self, scenario: Scenario, robot_file: Path = ARM) -> None:
        """Start the robot, run the scenario, stop the robot."""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.fail("mounting a small tmpfs needs root; run the tests as root or in the builder's container")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def robot_directory() -> Iterator[Path]:
    """A directory with a short name, for sockets, that outlives sessions within one test."""
    place = Path(tempfile.mkdtemp(prefix="hf-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def on_robot(robot_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOnRobot:
    """Run a scenario on a robot of real processes; called again, the robot has the same disk.

    The machine may be busy with anything: only tests of the time limits themselves have short ones.
    """
    monkeypatch.setenv("HOLDFAST_SAFETY__WORKER_TIMEOUT_MS", "60000")
    monkeypatch.setenv("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "5000")

    def run(scenario: Scenario, robot_file: Path = ARM) -> None:
        async def whole() -> None:
            session = HostSession(robot_file, tmp_path / "logs", robot_directory)
            try:
                await session.start(lambda _: None)
                await session.wait_ready(READY_S)
                await scenario(session)
            except BaseException:
                for log in sorted((tmp_path / "logs").glob("*.log")):
                    if log.stem not in {"hub", "broker"}:
                        print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
                raise
            finally:
                await session.close()

        asyncio.run(whole())

    return run
