"""Tasks while the disk does not take what is to be remembered of them."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import load_robot_config
from holdfast.errors import StoreFullError
from holdfast.store import Store, StoreThread
from holdfast.worker.bus import Bus, FleetLink
from holdfast.worker.deploy import Deployer
from holdfast.worker.recorder import Recorder
from holdfast.worker.tasks import Tasks
from holdfast.worker.verify import Verifier

ARM = Path(__file__).parents[2] / "examples/robots/arm.toml"
PATIENCE_S = 60.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


class Robot:
    """The tasks of a robot that has no broker and no core: they report its status."""

    def __init__(self, directory: Path, status: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        config = load_robot_config(ARM)
        self.database = directory / "worker.db"
        self._store = StoreThread(Store.open(self.database))
        self._deployer = Deployer(
            self._store, Verifier(ARM), Recorder(), run_directory=directory, state_directory=directory
        )

        async def nobody() -> None:
            pass

        link = FleetLink("http://127.0.0.1:1", nobody)
        self._tasks = Tasks(config, self._store, Bus(config), link, self._deployer, status)

    def results(self) -> list[str]:
        with sqlite3.connect(self.database) as db:
            return [row[0] for row in db.execute("select task from results order by number")]

    def attempts(self) -> list[int]:
        with sqlite3.connect(self.database) as db:
            return [row[0] for row in db.execute("select attempts from tasks order by rowid")]

    async def while_it_runs(self, scenario: Awaitable[None]) -> None:
        for task in ("t1", "t2"):
            payload: dict[str, Any] = {"id": task, "kind": "status_report", "args": {}}
            await self._store(
                self._store.store.add_task, task, "status_report", payload, requires_fleet=False
            )
        running = asyncio.create_task(self._tasks.run())
        try:
            await scenario
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._store.close()


def test_a_task_whose_end_could_not_be_stored_is_not_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reports = 0

    async def status() -> dict[str, Any]:
        nonlocal reports
        reports += 1
        return {}

    async def scenario() -> None:
        robot = Robot(tmp_path, status)
        refuse = "create trigger refuse before insert on results begin select raise(abort, 'no disk'); end"
        with sqlite3.connect(robot.database) as db:
            db.execute(refuse)

        async def disk_comes_back() -> None:
            await until(lambda: "no disk" in caplog.text)
            with sqlite3.connect(robot.database) as db:
                db.execute("drop trigger refuse")
            await until(lambda: len(robot.results()) == 2)

        await robot.while_it_runs(disk_comes_back())
        assert robot.results() == ["t1", "t2"]

    caplog.set_level(logging.ERROR)
    asyncio.run(scenario())
    assert reports == 2


def test_a_task_that_met_a_full_disk_runs_again_before_the_next_one_and_lost_no_try(tmp_path: Path) -> None:
    reports = 0

    async def status() -> dict[str, Any]:
        nonlocal reports
        reports += 1
        if reports == 1:
            raise StoreFullError("no space is left")
        return {"report": reports}

    async def scenario() -> None:
        robot = Robot(tmp_path, status)
        await robot.while_it_runs(until(lambda: len(robot.results()) == 2))
        assert robot.results() == ["t1", "t2"]
        assert robot.attempts() == [1, 1]
        with sqlite3.connect(robot.database) as db:
            told = [json.loads(row[0]) for row in db.execute("select payload from results order by number")]
        assert [one["result"] for one in told] == [{"report": 2}, {"report": 3}]

    asyncio.run(scenario())
