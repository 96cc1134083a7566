"""What tests of the bench run on: a robot of host processes, which keep no deadlines, and a simulated probe."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from holdfast.child import Child
from holdfast.host_session import HostSession
from holdfast_bench.guest.scenario import Rig
from holdfast_bench.probe.driver import Probe
from holdfast_bench.probe.simulated import SimulatedProbe

REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 120.0

Body = Callable[[Rig], Awaitable[None]]


class OnHost:
    """A host session as the rig of a scenario."""

    def __init__(self, session: HostSession) -> None:
        self._session = session

    @property
    def run_directory(self) -> Path:
        return self._session.run_directory

    async def ready(self) -> None:
        await self._session.wait_ready(READY_S)

    async def deploy(self, controller: str) -> None:
        folders = ("examples/controllers", "hil_tests/controllers")
        file = next(f for folder in folders if (f := REPOSITORY / folder / controller).is_file())
        await self._session.target.deploy(file.stem, "", file.read_bytes())

    def core_pid(self) -> int:
        return self._session.children["control"].pid

    @property
    def broker_url(self) -> str:
        return self._session.broker_url

    @asynccontextmanager
    async def fleet(self) -> AsyncIterator[str]:
        yield self._session.hub.url

    async def set_link(self, *, up: bool) -> None:
        """There is no cable to pull: the hub itself goes away and comes back with what it had."""
        if not up:
            await self._session.children["hub"].stop()
        elif not self._session.children["hub"].running:
            await self._session.start_part("hub")

    async def signal(self, part: str, name: str) -> None:
        os.kill(self._child(part).pid, signal.Signals[f"SIG{name}"])

    async def restart(self, part: str) -> None:
        await self._child(part).stop()
        await self._session.start_part("broker" if part == "nats" else part)

    def _child(self, part: str) -> Child:
        return self._session.children["broker" if part == "nats" else part]


@pytest.fixture
def on_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Body], None]]:
    """Run a body on one of the example robots."""
    monkeypatch.setenv("HOLDFAST_SAFETY__WORKER_TIMEOUT_MS", "60000")
    place = Path(tempfile.mkdtemp(prefix="hf-"))  # sockets need a short path

    def run_on(robot: str, body: Body) -> None:
        async def whole() -> None:
            file = REPOSITORY / "examples" / "robots" / f"{robot}.toml"
            session = HostSession(file, tmp_path / "logs", place)
            try:
                await session.start(lambda _: None)
                await body(OnHost(session))
            except BaseException:
                for log in ("plant", "safety", "control", "worker"):
                    text = (tmp_path / "logs" / f"{log}.log").read_text(errors="replace")
                    print(f"--- {log}\n{text[-3000:]}")
                raise
            finally:
                await session.close()

        asyncio.run(whole())

    yield run_on
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def begin() -> Iterator[Callable[..., SimulatedProbe]]:
    """Start simulated probes with options of theirs."""
    with ExitStack() as stack:

        def start(*options: str) -> SimulatedProbe:
            simulated = SimulatedProbe(*options)
            stack.callback(simulated.end)
            return simulated

        yield start


@pytest.fixture
def world(begin: Callable[..., SimulatedProbe]) -> SimulatedProbe:
    return begin()


@pytest.fixture
def probe(world: SimulatedProbe) -> Iterator[Probe]:
    with Probe(world.port, timeout_s=60) as opened:
        yield opened
