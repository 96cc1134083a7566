"""Scenario `estop-1000` inside the robot: how soon the drives hear of a stop, at random phases of the loops.

The robot cruises: every drive is told the same velocity each cycle, so that the first other value on the wire is the
stop. When that arrives is what the plant, the drives' end of the link, has recorded (CLOCK_MONOTONIC of this machine).
Three paths, each by itself, and for each trial the slowest drive counts:

flag     an operator's stop while the core lives: from the flag in shared memory to the core's first safe frame
bus      the core is stopped (SIGSTOP), so that only the daemon's own frames act: from the core's last heartbeat
enable   the same, and what is waited for is the enable line; only where `[safety] enable_line` is configured

The robot's channels must all be velocities (examples/robots/diff_drive.toml), its controller is cruise.wat.

A trial before which the robot slowed down for a reason of its own (a machine without real time overruns, and holds)
measures nothing: it is void, counted, and done again with the same phase.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import RefusedError
from holdfast.layout import Layout, SegmentReader, load_layout
from holdfast.seqpacket import Connection
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.scenario import Reporter, Rig, until

LIMITS_US = {"flag": 2_000.0, "bus": 10_000.0, "enable": 10_000.0}
_CONTROLLER = "cruise.wat"
_PHASE_S = 0.010
"""A trial begins at a moment of this interval, drawn from the seed: a whole period of every loop."""
_POLL_S = 0.002
_PATIENCE_S = 120.0
_STEADY_FOR_NS = 20_000_000
_NS_PER_US = 1000


class Trials:
    """One connection to each process, and the steps of a trial."""

    def __init__(
        self, core: CoreClient, safety: SafetyClient, plant: Connection, layout: Layout, core_pid: int
    ) -> None:
        self._core = core
        self._safety = safety
        self._plant = plant
        self._layout = layout
        self._core_pid = core_pid
        self._state: SegmentReader | None = None
        self._latch: SegmentReader | None = None
        self._cruise: dict[str, float] = {}
        self._steady_ns = 0

    async def open(self) -> None:
        """Map both segments and arm for the first time."""
        self._state = await self._core.segment(self._layout)
        self._latch = await self._safety.segment(self._layout)
        await self.cruise()

    def close(self) -> None:
        """Unmap the segments."""
        for reader in (self._state, self._latch):
            if reader is not None:
                reader.close()

    async def cruise(self) -> None:
        """Arm, and wait until every drive gets what the controller wants, unchanged."""
        await until("the robot can be armed", self._arms, _POLL_S, _PATIENCE_S)
        await until("every drive turns steadily", self._is_steady, _POLL_S, _PATIENCE_S)

    async def flag(self) -> float | None:
        """Press the operator's stop; returns the reaction in µs, or None if the trial is void."""
        await self._safety.estop("trial of the flag")
        return await self._first_stop(int(self._safety_now()["latch_mono_ns"]))

    async def bus(self) -> float | None:
        """Stop the core's process and let the daemon's own frames act; returns as `flag` does."""
        return await self._without_core(self._first_stop)

    async def enable(self) -> float | None:
        """Stop the core's process and wait for the enable line; returns as `flag` does."""
        return await self._without_core(self._line_dropped)

    async def once(self, path: Callable[[], Awaitable[float | None]], phase_s: float) -> float | None:
        """Do one trial of a path after `phase_s`, and cruise again."""
        await asyncio.sleep(phase_s)
        reaction_us = await path()
        await self._recover()
        await self.cruise()
        return reaction_us

    async def _recover(self) -> None:
        """Reset as soon as the cause is gone, wait for the standstill."""
        await until("the stop can be reset", self._resets, _POLL_S, _PATIENCE_S)
        await until("the robot is disarmed", self._is_disarmed, _POLL_S, _PATIENCE_S)

    # --- looking -----------------------------------------------------------------------------------------------

    def _core_now(self) -> np.void:
        assert self._state is not None, "open() first"  # noqa: S101
        return self._state.read()

    def _safety_now(self) -> np.void:
        assert self._latch is not None, "open() first"  # noqa: S101
        return self._latch.read()

    def _mode(self) -> str:
        return self._layout.enums["Mode"][int(self._core_now()["mode"])]

    async def _is_disarmed(self) -> bool:
        return self._mode() == "disarmed"

    async def _is_latched(self) -> bool:
        return bool(self._safety_now()["latch_sequence"])

    async def _arms(self) -> bool:
        try:
            await self._core.arm()
        except RefusedError:
            return False
        return True

    async def _resets(self) -> bool:
        try:
            await self._safety.reset()
        except RefusedError:
            return False
        return True

    async def _is_steady(self) -> bool:
        """Each drive's last frames hold one value, and it is not the standstill."""
        if self._mode() != "running":
            return False
        now_ns = time.monotonic_ns()
        heard = by_drive(await self._frames(now_ns - _STEADY_FOR_NS, now_ns))
        self._cruise = {drive: frames[-1][1] for drive, frames in heard.items()}
        self._steady_ns = now_ns
        wanted = self._core_now()
        settled = np.array_equal(wanted["requested"], wanted["sent"])
        return (
            settled
            and bool(heard)
            and all(self._cruise.values())
            and all(value == self._cruise[drive] for drive, frames in heard.items() for _, value in frames)
        )

    async def _frames(self, since_ns: int, until_ns: int) -> list[list[Any]]:
        frames: list[list[Any]] = []
        while True:
            reply = await self._plant.request({"op": "frames", "since_ns": since_ns, "until_ns": until_ns})
            frames += reply["frames"]
            if reply["complete"]:
                return frames
            since_ns = int(frames[-1][0]) + 1

    # --- measuring ---------------------------------------------------------------------------------------------

    async def _first_stop(self, from_ns: int) -> float | None:
        """Wait until every drive heard of the stop; returns µs from `from_ns` to the last one's first frame of it.

        None: a drive was told to slow down before `from_ns`, at any time since it was seen to turn steadily.
        """
        seen: dict[str, int] = {}

        async def all_drives() -> bool:
            frames = by_drive(await self._frames(self._steady_ns, time.monotonic_ns()))
            seen.update(first_changes(frames, self._cruise))
            return seen.keys() == self._cruise.keys()

        await until("every drive is told to stop", all_drives, _POLL_S, _PATIENCE_S)
        return None if min(seen.values()) < from_ns else (max(seen.values()) - from_ns) / _NS_PER_US

    async def _line_dropped(self, from_ns: int) -> float | None:
        """Wait until the enable line is low; returns µs from `from_ns`."""
        edge: list[int] = []

        async def dropped() -> bool:
            line = (await self._plant.request({"op": "status"}))["enable"]
            edge[:] = [int(line["changed_mono_ns"])]
            return not line["level"] and edge[0] >= from_ns

        await until("the enable line drops", dropped, _POLL_S, _PATIENCE_S)
        return (edge[0] - from_ns) / _NS_PER_US

    async def _without_core(self, measure: Callable[[int], Awaitable[float | None]]) -> float | None:
        """Measure from the last heartbeat of a core that is stopped and goes on afterwards."""
        os.kill(self._core_pid, signal.SIGSTOP)
        try:
            await until("the daemon latches a stop", self._is_latched, _POLL_S, _PATIENCE_S)
            beat_ns = int(self._core_now()["mono_ns"])
            return await measure(beat_ns) if self._mode() == "running" else None
        finally:
            os.kill(self._core_pid, signal.SIGCONT)


def by_drive(frames: list[list[Any]]) -> dict[str, list[tuple[int, float]]]:
    """Sort the plant's [mono_ns, drive, command, value] by drive; only what carries a velocity (Set_Input_Vel)."""
    sorted_: dict[str, list[tuple[int, float]]] = {}
    for mono_ns, drive, command, value in frames:
        if command == _SET_INPUT_VEL and value is not None:
            sorted_.setdefault(drive, []).append((int(mono_ns), float(value)))
    return sorted_


_SET_INPUT_VEL = 0x0D


def first_changes(frames: dict[str, list[tuple[int, float]]], cruise: dict[str, float]) -> dict[str, int]:
    """Return when each drive first heard something else than its cruising velocity.

    Raises:
        ScenarioError: it was told to go faster.
    """
    found = {}
    for drive, heard in frames.items():
        for mono_ns, value in heard:
            if value == cruise[drive]:
                continue
            if abs(value) > abs(cruise[drive]):
                raise ScenarioError(
                    f"{drive} was told {value:g} after {cruise[drive]:g}: that is no way to stop"
                )
            found[drive] = mono_ns
            break
    return found


def figures(samples_us: list[float], limit_us: float) -> dict[str, Any]:
    """Return p50, p99 and max of one path, and how many trials were over its limit."""
    ordered = sorted(samples_us)
    return {
        "trials": len(ordered),
        "reaction_us": {
            "p50": round(ordered[(len(ordered) - 1) // 2], 1),
            "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
            "max": round(ordered[-1], 1),
        },
        "limit_us": limit_us,
        "over_limit": sum(sample > limit_us for sample in ordered),
    }


async def estop_trials(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Run `trials` of each path with phases from `seed`; each trial is a line {"trial": {...}} of its own."""
    rng = random.Random(int(request["seed"]))  # noqa: S311 - phases, not secrets
    await rig.ready()
    await rig.deploy(_CONTROLLER)
    samples: dict[str, list[float]] = {}
    void = 0
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(await CoreClient.connect(rig.run_directory))
        safety = await stack.enter_async_context(await SafetyClient.connect(rig.run_directory))
        plant = await stack.enter_async_context(
            await Connection.open(rig.run_directory / "plant-control.sock")
        )
        trials = Trials(core, safety, plant, await load_layout(), rig.core_pid())
        stack.callback(trials.close)
        paths: dict[str, Callable[[], Awaitable[float | None]]] = {"flag": trials.flag, "bus": trials.bus}
        watched = (await plant.request({"op": "status"})).get("enable") is not None
        if watched:
            paths["enable"] = trials.enable
        await trials.open()
        for number in range(int(request["trials"])):
            for name, run in paths.items():
                phase_s = rng.uniform(0.0, _PHASE_S)
                while (reaction_us := await trials.once(run, phase_s)) is None:
                    void += 1
                samples.setdefault(name, []).append(reaction_us)
                report.line(
                    trial={
                        "number": number,
                        "path": name,
                        "phase_us": round(phase_s * 1e6, 1),
                        "reaction_us": round(reaction_us, 1),
                    }
                )
        await core.disarm()
    return {
        "seed": int(request["seed"]),
        "paths": {name: figures(found, LIMITS_US[name]) for name, found in samples.items()},
        "void": void,
        "enable_line": "watched" if watched else "not configured",
    }
