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

PHASES = ("read", "estimate", "shield", "write")
"""The parts of a Tier-1 cycle that are timed, in their order."""


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


def estimates(sample: np.void, layout: Layout, channels: dict[str, list[str]]) -> dict[str, Any]:
    """Return the estimated joints by command channel, and the attitude; None where nothing is estimated.

    Each joint has position, velocity and acceleration (SI), the mean of its normalised innovation squared (1: the
    measurements are as good as configured) and its health; the attitude is a quaternion w, x, y, z.
    """
    healths = layout.enums["EstimateHealth"]
    joints = {}
    for index, name in enumerate(channels["commands"]):
        health = healths[int(sample["joint_health"][index])]
        if health == "none":
            continue
        joints[name] = {
            quantity: finite_or_none(sample[f"joint_{quantity}"][index])
            for quantity in ("position", "velocity", "acceleration", "innovation")
        } | {"health": health}
    attitude_health = healths[int(sample["attitude_health"])]
    attitude = None
    if attitude_health != "none":
        attitude = {
            "quaternion": [float(part) for part in sample["attitude"]],
            "gyro_bias": [float(part) for part in sample["gyro_bias"]],
            "innovation": finite_or_none(sample["attitude_innovation"]),
            "health": attitude_health,
        }
    return {"joints": joints, "attitude": attitude}


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
        "phases_us": {phase: reader.histogram(phase).as_dict() for phase in PHASES},
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
                sample = reader.read()
                status.update(channel_values(sample, control["channels"]))
                status["estimate"] = estimates(sample, layout, control["channels"])
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
