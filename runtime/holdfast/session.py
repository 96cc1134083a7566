"""A robot that `holdfast up` runs: as processes of this machine (host) or in a virtual machine (vm)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from holdfast.target import Target

Report = Callable[[str], None]

RELAXED = {
    "HOLDFAST_SAFETY__CORE_TIMEOUT_MS": "3000",
    "HOLDFAST_SAFETY__WORKER_TIMEOUT_MS": "15000",
    "HOLDFAST_CONTROL__OVERRUN_LIMIT": "1000",
    "HOLDFAST_CONTROL__OVERRUN_WINDOW": "1000",
    "HOLDFAST_CONTROL__SAFETY_SILENT_CYCLES": "3000",
    "HOLDFAST_ESTIMATOR__TIMING_NOISE_MS": "50",
}
"""What a machine without a real-time kernel of its own can keep, as the environment of the robot's daemons.

A virtual machine whose host is busy stands still for two seconds at times.
"""


def env_lines(environment: Mapping[str, str]) -> str:
    """Return such an environment as the credential `holdfast.env` carries it."""
    return "".join(f"{key}={value}\n" for key, value in environment.items())


def in_words(environment: Mapping[str, str]) -> str:
    """Return such an environment as a person reads it: "safety.core_timeout_ms = 1000, ..."."""
    return ", ".join(
        f"{key.removeprefix('HOLDFAST_').lower().replace('__', '.')} = {value}"
        for key, value in environment.items()
    )


class Session(Protocol):
    """What `holdfast up` and its self-check need of a robot. Errors are HoldfastError."""

    @property
    def kind(self) -> Literal["host", "vm"]:
        """Where it runs."""

    @property
    def robot_id(self) -> str:
        """Id of the robot; known once `start` has returned."""

    @property
    def accel(self) -> str:
        """What runs the instructions: "none" (the host itself), "kvm" or "tcg"."""

    @property
    def notes(self) -> list[str]:
        """What differs from a real robot, one sentence each, for the user; complete once `start` has returned."""

    async def start(self, report: Report) -> None:
        """Begin everything that the robot consists of; tell `report` each step in a few words."""

    async def wait_ready(self, timeout_s: float) -> float:
        """Return when the loop runs and the worker takes requests over the hub: seconds since it was started."""

    @property
    def target(self) -> Target:
        """The robot, for commands: deploy goes through the hub, arm and reset are local."""

    async def plant(self) -> dict[str, Any]:
        """Return the status of holdfast-plant: `{"drives": {...}}` of plant-control.sock."""

    def description(self) -> dict[str, Any]:
        """Return what session.json holds besides kind, robot_id and pid: hub_url, and run_dir or ssh."""

    async def close(self) -> None:
        """End everything in good order; safe to call at any time, and twice."""


def write_session_file(session: Session, file: Path) -> None:
    """Let other commands find this session; only this user may read it: it holds a password."""
    body = {"kind": session.kind, "robot_id": session.robot_id, "pid": os.getpid(), **session.description()}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    part.rename(file)
