"""Counters that no test may make grow unless it says so.

Those of `TIMING` are judged only where the robot keeps its deadlines: QEMU in real time, with KVM or without, stops a
guest for as long as its host pleases, and then late cycles, old samples and missed heartbeats say nothing about the
robot. Those of `FAULTS` mean the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = frozenset(
    {
        "candidates_rejected",
        "command_no_channel",
        "command_not_finite",
        "controller_traps",
        "estimate_not_finite",
        "link_ack_errors",
        "link_bus_off",
        "link_damaged_frames",
        "link_downs",
        "link_error_passive",
        "link_overflows",
        "link_receive_errors",
        "rollbacks",
        "shield_conflict",
        # The safety daemon's.
        "evidence.lost",
        "stop_frames_failed",
    }
)
TIMING = frozenset(
    {
        "candidate_ticks_skipped",
        "controller_overruns",
        "drive_errors",  # the drives' own watchdogs
        "drive_silences",
        "estimate_rejected",
        "estimate_restarts",
        "estimate_unhealthy",
        "input_stale",
        "link_send_errors",  # a receiver that is not let run has a full queue
        "metrics_dropped",
        "overruns",
        "safety_beat_missed",
        "seqlock_retries_exhausted",
        "setpoint_stale",
        "skipped_cycles",
        "state_stale",
    }
)
ORDINARY = frozenset(
    {
        "attitude_gated",
        "canary_limited",
        "candidate_ticks",
        "command_clamped",
        "controller_ticks",
        "frames_received",
        "frames_sent",
        "input_refused",
        "link_restarts",
        "shield_coupling",
        "shield_rate_limited",
        "shield_stopping_distance",
        "shield_workspace",
        "shield_zone_slow",
        "shield_zone_stop",
        "transitions_refused",
    }
)
"""They count work, or that the robot did what it is for."""


@dataclass(frozen=True)
class Sample:
    """The counters of one moment; a core or daemon that gives no answer has none."""

    core_start: int | None = None
    """`boot_id`: another one is another core, which began at 0."""
    core: Mapping[str, int] = field(default_factory=dict)
    safety: Mapping[str, int] = field(default_factory=dict)


def sample(control: Mapping[str, Any], safety: Mapping[str, Any]) -> Sample:
    """Take the counters from what core and safety daemon say of themselves."""
    daemon = {}
    if "stop_frames_failed" in safety:
        daemon["stop_frames_failed"] = int(safety["stop_frames_failed"])
    if "lost" in safety.get("evidence", {}):
        daemon["evidence.lost"] = int(safety["evidence"]["lost"])
    return Sample(control.get("boot_id"), dict(control.get("counters", {})), daemon)


def growth(before: Sample, after: Sample) -> dict[str, int]:
    """Return by how much each counter grew; one that went down began anew in between."""
    core_before = before.core if before.core_start == after.core_start else {}
    grown = {}
    for old, new in ((core_before, after.core), (before.safety, after.safety)):
        for name, value in new.items():
            since = old.get(name, 0)
            if value != since:
                grown[name] = value - since if value > since else value
    return grown


def bad(grown: Mapping[str, int], *, keeps_deadlines: bool) -> dict[str, int]:
    """Return the growth that nobody wants to see on a machine that keeps its deadlines, or does not."""
    judged = FAULTS | TIMING if keeps_deadlines else FAULTS
    return {name: count for name, count in grown.items() if name in judged and count > 0}
