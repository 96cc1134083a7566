"""A robot that loses power: `robot_process.py DIR ROOT SOURCE BUS MOMENT` ends by SIGKILL at a moment.

The moments are where the client uses one of its seams, so nothing of it is patched.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nats
from simulated_robot import SimulatedRobot
from world import configuration

from holdfast.store import Store, StoreThread
from holdfast_ota.journal import Journal, State
from holdfast_ota.robot import OtaClient

MOMENTS = ("resolved", "staged", "loaded", "watching", "ran", "failing", "loaded back")


def cut_power() -> None:
    """End as a power cut ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


class DoomedStore(StoreThread):
    """Cuts the power when the client asks what it would go back to."""

    doomed = False

    async def __call__(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a method of the store."""
        if self.doomed and method.__name__ == "active_controller":
            cut_power()
        return await super().__call__(method, *arguments, **named)


class DoomedRobot(SimulatedRobot):
    """Cuts the power around loading, or when it is asked for its status."""

    def __init__(self, store: StoreThread, moment: str, journal: Path) -> None:
        super().__init__(store)
        self._moment = moment
        self._journal_path = journal

    async def deploy(self, name: str, version: str, source: bytes, origin: str) -> Mapping[str, Any]:
        """Load, or not."""
        if self._moment == "failing" and origin == "ota-rollback":
            cut_power()
        result = await super().deploy(name, version, source, origin)
        if (self._moment, origin) in {("loaded", "ota"), ("loaded back", "ota-rollback")}:
            cut_power()
        return result

    async def status(self) -> Mapping[str, Any]:
        """Answer, run on a little, or not answer any more."""
        journal = Journal(self._journal_path)
        attempt = journal.open_attempt()
        journal.close()
        watching = attempt is not None and attempt.state is State.WATCHING
        if self._moment == "staged" and attempt is not None and attempt.state is State.STAGED:
            cut_power()
        if watching and (self._moment == "watching" or (self._moment == "ran" and attempt and attempt.ran)):
            cut_power()
        status = await super().status()
        if watching and self._moment != "watching":
            self.armed = True
            self.run(40)
        return status


async def main() -> None:
    """Follow updates until the power goes."""
    directory, root, source, bus_url, moment = sys.argv[1:]
    store = DoomedStore(Store.open(Path(directory) / "worker.db"))
    robot = DoomedRobot(store, moment, Path(directory) / "ota" / "ota.db")
    await robot.boot()
    store.doomed = moment == "resolved"
    client = OtaClient(
        configuration(source, poll_s=0.1),
        robot,
        store,
        await nats.connect(bus_url),
        core=robot.status,
        root_file=Path(root),
        directory=Path(directory) / "ota",
    )
    await client.run()


if __name__ == "__main__":
    asyncio.run(main())
