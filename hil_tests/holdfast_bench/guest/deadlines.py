"""Scenarios `deadlines` and `deadlines-loaded` inside the robot: what the loop misses beside a load."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from typing import Any

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import RefusedError
from holdfast.layout import SegmentReader, load_layout
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.loop_figures import LoopFigures
from holdfast_bench.guest.processor_time import ProcessorTime
from holdfast_bench.guest.sabotage import sabotage
from holdfast_bench.guest.scenario import Reporter, Rig, load_beside, stress, until

_POLL_S = 5.0
_ARM_POLL_S = 0.1
_PATIENCE_S = 120.0


async def deadlines(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Run the sine controller under load for `seconds` and count what Tier-1 missed.

    Returns the figures of the loop (LoopFigures) in that time, and what it ran.
    """
    return await measure_loop(
        rig, "sine.wat", stress("cpu", "memory", "disk"), int(request["seconds"]), report
    )


async def deadlines_loaded(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Do the same with every joint in motion and the network busy too; for robots of position joints."""
    if request.get("sabotage"):
        await rig.ready()
        sabotage(str(request["sabotage"]))
    load = stress("cpu", "memory", "disk", "network")
    return await measure_loop(rig, "sine_joints.wat", load, int(request["seconds"]), report)


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
        await arm(core)
        segment = await core.segment(layout)
        with load_beside(load):
            figures = LoopFigures(segment, layout)
            processor = ProcessorTime()
            report.line(event="start", cycle=figures.first_cycle)
            await _cycles_reached(segment, figures.first_cycle + seconds * 1000, report)
            measured = {**figures.until_now(), "processor": processor.shares()}
            report.line(histograms=figures.histograms())
        status = await core.status()
        latch = await safety.status()
        segment.close()
    return {
        **measured,
        "controller": status["controller"],
        "drives": len(status["channels"]["commands"]),
        "mode": status["mode"],
        "realtime": status["realtime"],
        "latched": latch["latched"],
        "load": " ".join(load),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
    }


async def arm(core: CoreClient) -> None:
    """Arm as soon as nothing stands against it, and wait until the controller runs."""
    said = ""

    async def armed() -> bool:
        nonlocal said
        try:
            await core.arm()
        except RefusedError as error:
            said = str(error)
            return False
        return True

    async def runs() -> bool:
        return bool((await core.status())["controller"]["state"] == "running")

    try:
        await until("the robot can be armed", armed, _ARM_POLL_S, _PATIENCE_S)
    except ScenarioError as error:
        raise ScenarioError(f"{error}; it says: {said}") from None
    await until("the controller runs", runs, _ARM_POLL_S, _PATIENCE_S)


async def _cycles_reached(segment: SegmentReader, cycle: int, report: Reporter) -> None:
    while (now := int(segment.read()["cycle"])) < cycle:
        report.line(event="progress", cycle=now, until=cycle)
        await asyncio.sleep(min(_POLL_S, max((cycle - now) / 1000, 0.01)))
