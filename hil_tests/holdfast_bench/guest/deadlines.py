"""Scenarios `deadlines` and `deadlines-loaded` inside the robot: what the loop misses beside a load."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import RefusedError
from holdfast.layout import SegmentReader, load_layout, summarise
from holdfast.status import PHASES, missed_deadlines
from holdfast_bench.guest.scenario import Reporter, Rig, load_beside, until

LOAD = ("stress-ng", "--cpu", "1", "--vm", "1", "--vm-bytes", "64M", "--hdd", "1", "--hdd-bytes", "64M")
"""CPU, memory and disk."""
NETWORK_LOAD = ("--sock", "1", "--udp", "1")
"""TCP and UDP floods over the loopback: their work is done in the kernel's network threads."""

_POLL_S = 5.0
_ARM_POLL_S = 0.1
_PATIENCE_S = 120.0
_HISTOGRAMS = ("wake", "cycle", "controller", *PHASES)


async def deadlines(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Run the sine controller under load for `seconds` and count what Tier-1 missed.

    Returns cycles, missed, and wake-up latency, time of the cycle, of each of its phases and of the controller in
    that interval, in µs (upper edges of 1 µs bins).
    """
    return await measure_loop(rig, "sine.wat", LOAD, int(request["seconds"]), report)


async def deadlines_loaded(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Do the same with every joint in motion and the network busy too; for robots of position joints."""
    return await measure_loop(rig, "sine_joints.wat", (*LOAD, *NETWORK_LOAD), int(request["seconds"]), report)


async def measure_loop(
    rig: Rig, controller: str, load: Sequence[str], seconds: int, report: Reporter
) -> dict[str, Any]:
    """Run a controller beside a load for `seconds` of 1 kHz cycles; the figures are of that time alone.

    The histograms behind them are a line of their own, {"histograms": {name: {upper edge in µs: count}}}.
    """
    await rig.ready()
    layout = await load_layout()
    await rig.deploy(controller)
    async with (
        await CoreClient.connect(rig.run_directory) as core,
        await SafetyClient.connect(rig.run_directory) as safety,
    ):
        await _arm(core)
        segment = await core.segment(layout)
        with load_beside(load):
            start = segment.read().copy()
            start_bins = {name: segment.bins(name) for name in _HISTOGRAMS}
            report.line(event="start", cycle=int(start["cycle"]))
            await _cycles_reached(segment, int(start["cycle"]) + seconds * 1000, report)
            end = segment.read().copy()
            end_bins = {name: segment.bins(name) for name in _HISTOGRAMS}
        status = await core.status()
        latch = await safety.status()
        segment.close()
    counted = _differences(layout.counter_names, start["counters"], end["counters"])
    bins = {name: end_bins[name] - start_bins[name] for name in _HISTOGRAMS}
    report.line(histograms={name: by_upper_edge(counts) for name, counts in bins.items()})
    histograms = {name: _summary(counts) for name, counts in bins.items()}
    return {
        "cycles": int(end["cycle"]) - int(start["cycle"]),
        "missed": missed_deadlines(counted),
        "wake_us": histograms["wake"],
        "cycle_us": histograms["cycle"],
        "controller_us": histograms["controller"],
        "phases_us": {phase: histograms[phase] for phase in PHASES},
        "controller": status["controller"],
        "drives": len(status["channels"]["commands"]),
        "mode": status["mode"],
        "realtime": status["realtime"],
        "latched": latch["latched"],
        "counters": {name: value for name, value in counted.items() if value},
        "load": " ".join(load),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
    }


async def _arm(core: CoreClient) -> None:
    """Arm as soon as nothing stands against it, and wait until the controller runs."""

    async def armed() -> bool:
        try:
            await core.arm()
        except RefusedError:
            return False
        return True

    async def runs() -> bool:
        return bool((await core.status())["controller"]["state"] == "running")

    await until("the robot can be armed", armed, _ARM_POLL_S, _PATIENCE_S)
    await until("the controller runs", runs, _ARM_POLL_S, _PATIENCE_S)


async def _cycles_reached(segment: SegmentReader, cycle: int, report: Reporter) -> None:
    while (now := int(segment.read()["cycle"])) < cycle:
        report.line(event="progress", cycle=now, until=cycle)
        await asyncio.sleep(min(_POLL_S, max((cycle - now) / 1000, 0.01)))


def _differences(names: list[str], before: NDArray[Any], after: NDArray[Any]) -> dict[str, int]:
    return {name: int(after[index]) - int(before[index]) for index, name in enumerate(names)}


def _summary(bins: NDArray[np.uint64]) -> dict[str, float | None]:
    """Percentiles of an interval; its maximum is the upper edge of the highest bin that was hit."""
    hit = np.flatnonzero(bins)
    return summarise(bins, (int(hit[-1]) + 1) * 1000 if len(hit) else 0).as_dict()


def by_upper_edge(bins: NDArray[np.uint64]) -> dict[str, int]:
    """Return the bins that were hit by their upper edge in µs; the last one, which takes all above, is "inf"."""
    last = len(bins) - 1
    return {
        "inf" if index == last else str(index + 1): int(bins[index])
        for index in map(int, np.flatnonzero(bins))
    }
