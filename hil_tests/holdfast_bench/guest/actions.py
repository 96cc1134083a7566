"""What a scenario's events do to the robot; one function for each kind of event."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import ConfigError
from holdfast.places import state_directory
from holdfast.seqpacket import ask
from holdfast_bench.guest import scenario_file as kinds
from holdfast_bench.guest.faulty_disk import FaultyDisk
from holdfast_bench.guest.local_model import LocalModel
from holdfast_bench.guest.scenario import Rig, stress

if TYPE_CHECKING:
    from holdfast_bench.guest.play import Log

_FILLER = "filler"
_KEPT_BYTES = 4096


@dataclass
class Scene:
    """What the events of one run work with."""

    rig: Rig
    core: CoreClient
    safety: SafetyClient
    robot: str
    log: Log
    disk: FaultyDisk | None = None
    model: LocalModel | None = None
    ending: set[asyncio.Task[None]] = field(default_factory=set)
    """What lasts for a while and ends by itself."""

    def later(self, seconds: float, what: str, end: Callable[[], Awaitable[object]]) -> None:
        """End something in `seconds`, and note it as `what`."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await end()
            self.log.add(what)

        task = asyncio.create_task(wait())
        self.ending.add(task)

    async def over(self) -> None:
        """Wait until everything that lasts has ended."""
        await asyncio.gather(*self.ending)


async def cause(scene: Scene, event: kinds.Event) -> None:
    """Do what an event says.

    Raises:
        HoldfastError: the robot refused or did not answer.
        OSError: the machine did not let it happen.
    """
    await _ACTIONS[event.do](scene, event)


async def give_task(scene: Scene, name: str, *, fleet: bool) -> str:
    """Give the worker a task by its own broker; returns the id once the stream has it."""
    body = {"id": name, "kind": "status_report", "requires": ["fleet"] if fleet else [], "args": {}}
    connection = await nats.connect(scene.rig.broker_url, allow_reconnect=False)
    try:
        await connection.jetstream().publish(
            f"holdfast.{scene.robot}.task", json.dumps(body).encode(), timeout=30.0
        )
    finally:
        await connection.close()
    return name


async def _link(scene: Scene, event: kinds.Link) -> None:
    await scene.rig.set_link(up=event.up)


async def _command(scene: Scene, event: kinds.Command) -> None:
    if event.what == "estop":
        await scene.safety.estop("scenario")
    elif event.what == "reset":
        await scene.safety.reset()
    else:
        await getattr(scene.core, event.what)()


async def _deploy(scene: Scene, event: kinds.Deploy) -> None:
    await scene.rig.deploy(event.controller)


async def _input(scene: Scene, event: kinds.Inputs) -> None:
    await scene.core.set_inputs(event.values, time.monotonic_ns())


async def _plant(scene: Scene, **request: Any) -> None:
    reply = await ask(scene.rig.run_directory / "plant-control.sock", request)
    if not reply.get("ok", True):
        raise ConfigError(f"the plant refused: {reply.get('error')}")


async def _fault(scene: Scene, event: kinds.DriveFault) -> None:
    fields = event.model_dump(exclude={"at_s", "every_s", "do", "for_s"}, exclude_none=True)
    lasts = {} if event.for_s is None else {"for_ms": round(event.for_s * 1000)}
    await _plant(scene, op="fault", **fields, **lasts)


async def _clear_faults(scene: Scene, event: kinds.ClearFaults) -> None:
    await _plant(scene, op="clear_faults")


async def _measure(scene: Scene, event: kinds.Measure) -> None:
    await _plant(scene, op="measure", sensor=event.sensor, quantity=event.quantity, value=event.value)


async def _signal(scene: Scene, event: kinds.Signal) -> None:
    await scene.rig.signal(event.part, event.signal)


async def _restart(scene: Scene, event: kinds.Restart) -> None:
    await scene.rig.restart(event.part)


async def _load(scene: Scene, event: kinds.Load) -> None:
    await _program(scene, event.for_s, "load ended", *stress(*event.kinds))


async def _hog(scene: Scene, event: kinds.Hog) -> None:
    # It ends itself: nothing else would run that could end it.
    spin = f"import time; end = time.monotonic() + {event.for_s}\nwhile time.monotonic() < end: pass"
    process = await asyncio.create_subprocess_exec(
        "chrt", "--fifo", str(event.priority), sys.executable, "-c", spin
    )
    scene.later(event.for_s, "hog ended", process.wait)


async def _memory_hog(scene: Scene, event: kinds.MemoryHog) -> None:
    hold = f"import time; held = bytearray({event.mib} << 20); held[::4096] = b'x' * len(held[::4096]); time.sleep(1e9)"
    await _program(scene, event.for_s, "memory hog ended", sys.executable, "-c", hold)


async def _ask_model(scene: Scene, event: kinds.AskModel) -> None:
    assert scene.model is not None, "the scenario was not looked at for its model"  # noqa: S101
    scene.ending.add(asyncio.create_task(scene.model.ask(scene.log.add)))


async def _clock_jump(scene: Scene, event: kinds.ClockJump) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time() + event.by_s)


async def _disk_full(scene: Scene, event: kinds.DiskFull) -> None:
    filler = state_directory() / _FILLER
    await asyncio.to_thread(_fill, filler)

    async def free() -> None:
        filler.unlink()

    scene.later(event.for_s, "disk has room", free)


def _fill(filler: Path) -> None:
    """Take what is free; root's reserve too, which the robot's services could not write to either way."""
    with filler.open("wb") as stream:
        size = 1 << 30
        while size >= _KEPT_BYTES:
            try:
                os.posix_fallocate(stream.fileno(), stream.tell(), size)
                stream.seek(size, os.SEEK_CUR)
            except OSError:
                size //= 2


async def _disk_slow(scene: Scene, event: kinds.DiskSlow) -> None:
    disk = _disk(scene)
    disk.make_slow(event.delay_ms)

    async def end() -> None:
        disk.make_fast()

    scene.later(event.for_s, "disk is fast", end)


async def _disk_fails(scene: Scene, event: kinds.DiskFails) -> None:
    _disk(scene).make_fail()


def _disk(scene: Scene) -> FaultyDisk:
    assert scene.disk is not None, "the scenario was not looked at for its disk"  # noqa: S101
    return scene.disk


async def _program(scene: Scene, seconds: float, what: str, *command: str) -> None:
    if shutil.which(command[0]) is None:
        raise ConfigError(f"{command[0]} is not installed here; the bench image has it")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/var/tmp",  # noqa: S108
    )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    scene.later(seconds, what, end)


_ACTIONS: dict[str, Callable[[Scene, Any], Awaitable[None]]] = {
    "link": _link,
    "command": _command,
    "deploy": _deploy,
    "input": _input,
    "fault": _fault,
    "clear_faults": _clear_faults,
    "measure": _measure,
    "signal": _signal,
    "restart": _restart,
    "load": _load,
    "hog": _hog,
    "memory_hog": _memory_hog,
    "ask_model": _ask_model,
    "clock_jump": _clock_jump,
    "disk_full": _disk_full,
    "disk_slow": _disk_slow,
    "disk_fails": _disk_fails,
}
