"""What a scenario inside the robot works with: the robot under test, the load beside it, and how it reports.

A body runs on the guest of a virtual machine (`InGuest`) and, with few trials, on the processes of a host session
(the tests): both are a `Rig`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from holdfast.places import run_directory
from holdfast_bench.guest.commands import ScenarioError, run
from holdfast_bench.guest.fleet_beside import pull_cable, start_hub_beside

T = TypeVar("T")
_CONTROLLERS = Path("/usr/share/holdfast/controllers")
LOAD_DRIVE = "holdfast-load"
"""Serial number of an empty drive for loads: nobody's disk is formatted by mistake."""
_DRIVE = Path(f"/dev/disk/by-id/virtio-{LOAD_DRIVE}")
_SCRATCH = Path("/run/holdfast-bench/scratch")
_READY_POLL_S = 5.0
_READY_POLLS = 60


class Reporter:
    """Writes JSON lines to whoever started the scenario."""

    def __init__(self, port: TextIO) -> None:
        self._port = port

    def line(self, **fields: Any) -> None:
        """Write one line at once, with the guest's clock: the kernel's messages show it only while it boots."""
        self._port.write(json.dumps({"clock_s": round(time.monotonic(), 3), **fields}) + "\n")
        self._port.flush()


class Rig(Protocol):
    """The robot under test, from inside."""

    @property
    def run_directory(self) -> Path:
        """Where its sockets are."""
        ...

    async def ready(self) -> None:
        """Wait until core, safety daemon and worker run."""
        ...

    async def deploy(self, controller: str) -> None:
        """Have a controller of the examples or of the bench verified and activated, by its file name."""
        ...

    def core_pid(self) -> int:
        """Return the process id of holdfast-control."""
        ...

    @property
    def broker_url(self) -> str:
        """The robot's own broker."""
        ...

    def fleet(self) -> AbstractAsyncContextManager[str]:
        """Have the fleet's hub in reach; gives its address, as this process reaches it."""
        ...

    async def set_link(self, *, up: bool) -> None:
        """Pull the cable to the fleet out, or put it in again."""
        ...

    async def signal(self, part: str, name: str) -> None:
        """Send a signal ("KILL") to a process of the robot: control, safety, worker, plant or nats."""
        ...

    async def restart(self, part: str) -> None:
        """Restart one of them in good order."""
        ...


class InGuest:
    """The robot that this process runs on: systemd, the installed CLI, the image's controllers."""

    broker_url = "nats://127.0.0.1:4222"

    def __init__(self, report: Reporter, hub_url: str | None = None) -> None:
        """With a `hub_url` the fleet is outside, and whoever reads the report moves the cable."""
        self._report = report
        self._hub_url = hub_url

    @property
    def run_directory(self) -> Path:
        """Where its sockets are."""
        return run_directory()

    async def ready(self) -> None:
        """Wait for holdfast.target.

        Raises:
            ScenarioError: it was not reached; names what was still to come.
        """
        for _ in range(_READY_POLLS):
            if _systemctl("is-active", "holdfast.target") == "active":
                return
            await asyncio.sleep(_READY_POLL_S)
        raise ScenarioError(
            f"holdfast.target was not reached in {_READY_POLLS * _READY_POLL_S:.0f} s; failed units: "
            f"{_systemctl('list-units', '--failed', '--plain', '--no-legend')}; waiting: "
            f"{_systemctl('list-jobs', '--no-legend')}"
        )

    async def deploy(self, controller: str) -> None:
        """Use the CLI as a person on the robot would.

        Raises:
            ScenarioError: it was rejected.
        """
        command = ("holdfast", "robot", "deploy", str(_CONTROLLERS / controller), "--json")
        done = subprocess.run(
            command,
            env={**os.environ, "HOLDFAST_ROBOT": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ScenarioError(f"{' '.join(command)}: {done.stdout.strip()} {done.stderr.strip()}")

    def core_pid(self) -> int:
        """Ask systemd for the main process of the core's unit."""
        return int(_systemctl("show", "--property=MainPID", "--value", "holdfast-control.service"))

    @asynccontextmanager
    async def fleet(self) -> AsyncIterator[str]:
        """Give the hub outside, or start one beside the robot."""
        if self._hub_url is not None:
            yield self._hub_url
            return
        hub, process = await start_hub_beside()
        try:
            yield hub.url
        finally:
            await process.stop()

    async def set_link(self, *, up: bool) -> None:
        """Move the cable, or have it moved."""
        if self._hub_url is None:
            await pull_cable(up=up)
        else:
            self._report.line(outside={"link": up})

    async def signal(self, part: str, name: str) -> None:
        """Have systemd send it to the unit's main process."""
        _unit("kill", f"--signal=SIG{name}", "--kill-whom=main", part)

    async def restart(self, part: str) -> None:
        """Restart the unit."""
        _unit("restart", part)


_STRESSORS = {
    "cpu": ("--cpu", "1"),
    "memory": ("--vm", "1", "--vm-bytes", "64M"),
    "disk": ("--hdd", "1", "--hdd-bytes", "64M"),
    # TCP and UDP floods over the loopback: their work is done in the kernel's network threads.
    "network": ("--sock", "1", "--udp", "1"),
}


def stress(*kinds: str) -> tuple[str, ...]:
    """Return the program that keeps these busy: cpu, memory, disk, network."""
    return ("stress-ng", *(argument for kind in kinds for argument in _STRESSORS[kind]))


@contextmanager
def load_beside(command: Sequence[str]) -> Iterator[None]:
    """Keep the machine busy with a program.

    Raises:
        ScenarioError: it ended by itself: there was no load.
    """
    process = subprocess.Popen(command, cwd=_scratch(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise ScenarioError(
                f"{command[0]} ended by itself with code {process.returncode}: there was no load"
            )
    finally:
        process.terminate()
        process.wait()


def _scratch() -> Path | None:
    """Return a folder on the machine's empty drive, where it has one: a load on the disk is for that."""
    if not _DRIVE.is_block_device():
        return None
    _SCRATCH.mkdir(parents=True)
    run("mkfs.ext4", "-q", "-F", str(_DRIVE))
    run("mount", str(_DRIVE), str(_SCRATCH))
    return _SCRATCH


async def until(what: str, probe: Callable[[], Awaitable[T | None]], poll_s: float, limit_s: float) -> T:
    """Ask again and again until the answer is true.

    Raises:
        ScenarioError: it was not within `limit_s`; names `what` was waited for.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        if seen := await probe():
            return seen
        if loop.time() > end:
            raise ScenarioError(f"waited {limit_s:g} s in vain: {what}")
        await asyncio.sleep(poll_s)


def _unit(*arguments: str) -> None:
    run("systemctl", *arguments[:-1], f"holdfast-{arguments[-1]}.service")


def _systemctl(*arguments: str) -> str:
    return subprocess.run(
        ("systemctl", *arguments), capture_output=True, text=True, check=False
    ).stdout.strip()
