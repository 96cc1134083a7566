"""One account of a robot from what its daemons and shared-memory segments say.

The worker answers `holdfast.<robot>.status` with it, `holdfast robot status` shows it. Parts that cannot be reached
are `{"error": "..."}`; the others are still there.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import HoldfastError
from holdfast.layout import Layout, SegmentReader


def finite_or_none(value: float) -> float | None:
    """Return a value that JSON can carry."""
    return float(value) if math.isfinite(value) else None


def missed_deadlines(counters: dict[str, int]) -> int:
    """Return how many Tier-1 periods got no frame in time: those skipped because a cycle was late or too long."""
    return max(counters.get("overruns", 0), counters.get("skipped_cycles", 0))


def channel_values(sample: np.void, channels: dict[str, list[str]]) -> dict[str, Any]:
    """Return the measured and the sent value of each channel by name; None where there is none yet."""
    received = sample["state_mono_ns"]
    return {
        "state": {
            name: finite_or_none(sample["state"][index]) if received[index] else None
            for index, name in enumerate(channels["states"])
        },
        "sent": {
            name: finite_or_none(sample["sent"][index]) for index, name in enumerate(channels["commands"])
        },
    }


def loop_statistics(reader: SegmentReader, layout: Layout) -> dict[str, Any]:
    """Return cycles, missed deadlines and latencies of the loop since the core started."""
    sample = reader.read()
    counters = dict(zip(layout.counter_names, map(int, sample["counters"]), strict=False))
    return {
        "cycles": int(sample["cycle"]),
        "missed": missed_deadlines(counters),
        "wake_us": reader.histogram("wake").as_dict(),
        "cycle_us": reader.histogram("cycle").as_dict(),
        "controller_us": reader.histogram("controller").as_dict(),
        "estop_reaction_cycles": (int(sample["estop_frame_cycle"]) or None)
        if sample["estop_latch_seen"]
        else None,
        "moving": bool(sample["moving"]),
    }


async def collect(run_directory: Path, layout: Layout) -> dict[str, Any]:
    """Ask the core and the safety daemon below `run_directory`; the worker adds its own part."""
    status: dict[str, Any] = {"robot": None}
    try:
        async with await CoreClient.connect(run_directory) as core:
            control = await core.status()
            status["robot"] = control.get("robot_id")
            status["control"] = _without_ok(control)
            with contextlib.closing(await core.segment(layout)) as reader:
                status["loop"] = loop_statistics(reader, layout)
                status.update(channel_values(reader.read(), control["channels"]))
    except HoldfastError as error:
        status["control"] = {"error": str(error)}
    try:
        async with await SafetyClient.connect(run_directory) as safety:
            status["safety"] = _without_ok(await safety.status())
    except HoldfastError as error:
        status["safety"] = {"error": str(error)}
    return status


def _without_ok(reply: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "ok"}
