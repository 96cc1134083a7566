"""Scenario `offline`: the link to the fleet is cut while the robot moves.

Loop and controller go on without a stop; a task that needs the fleet is journalled and runs when the link
is back; telemetry
is buffered on the robot and arrives at the fleet complete and in order.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Protocol

from holdfast.command import errors as terminal
from holdfast.status import missed_deadlines
from holdfast_bench.facade import OUTSIDE, Faults
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot, wait_until

OFFLINE_CYCLES = 10_000
OFFLINE_TELEMETRY = 5
_BROKER_STORE = "/var/lib/holdfast/nats"


class Target(Protocol):
    """What the scenario needs of the bench."""

    robot: Robot
    """The robot under test."""

    @property
    def robot_id(self) -> str:
        """Its id in the fleet."""
        ...

    @property
    def faults(self) -> Faults:
        """Faults that the bench can cause."""
        ...

    def wait_ready(self) -> float:
        """Wait until the robot is a member of the fleet again; returns the seconds since power-on."""
        ...

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        """Return every message that the fleet's stream holds from this robot, oldest first."""
        ...


def _in_reach(target: Target) -> bool | None:
    """Whether the robot itself knows the fleet to be in reach; None if its worker does not say."""
    up = target.robot.ask("fleet_link", target.robot_id).get("up")
    return None if up is None else bool(up)


def _telemetry(target: Target, boot: int) -> list[int]:
    """Return the sequence numbers that the fleet has from this boot; it may remember earlier robots of this id."""
    messages = target.fleet_messages("FLEET_TELEMETRY")
    return [int(message["seq"]) for message in messages if message["boot_id"] == boot]


def run(target: Target) -> dict[str, Any]:
    """Run the scenario on a robot that is connected and not latched; leaves it connected and disarmed."""
    robot = target.robot
    terminal.print("the robot is set in motion")
    robot.deploy("moving.wat")
    robot.arm()
    robot.wait_moving()
    boot = robot.control()["boot_id"]
    wait_until("the fleet receives telemetry", lambda: _telemetry(target, boot))

    terminal.print(f"the link to the fleet is cut for {OFFLINE_CYCLES} cycles")
    target.faults.set_link(OUTSIDE, up=False)
    wait_until("the robot notices that the fleet is gone", lambda: _in_reach(target) is False)
    seen_before = _telemetry(target, boot)[-1]
    before = robot.control()
    task = _submit(target, requires=["fleet"])
    journalled = wait_until("the task is journalled", lambda: _journalled(robot, task))
    wait_until(
        f"{OFFLINE_CYCLES} cycles without the fleet",
        lambda: robot.control()["cycle"] >= before["cycle"] + OFFLINE_CYCLES,
    )
    during = robot.control()
    if during["mode"] != "running" or during["controller"]["state"] != "running":
        raise BenchError(
            f"without the fleet the core is {during['mode']}, its controller {during['controller']}"
        )
    if _journalled(robot, task) != journalled:
        raise BenchError("the task that needs the fleet ran without it")
    terminal.print("  nothing stopped, and the task that needs the fleet waits")

    terminal.print("the link is back")
    target.faults.set_link(OUTSIDE, up=True)
    wait_until("the robot is back in the fleet", lambda: _in_reach(target))
    results = _wait_result(target, task)
    wait_until(
        "the telemetry of the time offline reaches the fleet",
        lambda: _telemetry(target, boot)[-1] >= seen_before + OFFLINE_TELEMETRY,
    )
    telemetry = _telemetry(target, boot)
    if telemetry != list(range(telemetry[0], telemetry[0] + len(telemetry))):
        raise BenchError(f"telemetry arrived out of order or with gaps: {telemetry}")
    terminal.print(
        f"  the task's result has arrived, and telemetry without a gap ({len(telemetry)} messages)"
    )
    robot.disarm()
    return {
        "cycles": during["cycle"] - before["cycle"],
        "missed": missed_deadlines(during["counters"]) - missed_deadlines(before["counters"]),
        "controller": during["controller"],
        "mode": during["mode"],
        "task": {"while_offline": journalled, "results": len(results)},
        "telemetry": {"received": len(telemetry), "first": telemetry[0], "last": telemetry[-1], "gaps": 0},
    }


def lose_streams(target: Target) -> None:
    """Let a connected robot forget all that its broker keeps, as if it were flashed anew; the fleet gathers on.

    Raises:
        BenchError: what the robot reports afterwards does not reach the fleet.
    """
    _wait_result(target, _submit(target, requires=[]))
    target.robot.shell.run(
        f"systemctl stop holdfast-nats && find {_BROKER_STORE} -mindepth 1 -delete && systemctl start holdfast-nats"
    )
    target.wait_ready()
    _wait_result(target, _submit(target, requires=[]))


def _submit(target: Target, requires: list[str]) -> str:
    """Give the robot's own broker a task; returns its id."""
    task = f"offline-{uuid.uuid4().hex}"
    body = json.dumps({"id": task, "kind": "status_report", "requires": requires, "args": {}})
    accepted = target.robot.ask("publish", f"holdfast.{target.robot_id}.task", body)
    if not accepted.get("ok"):
        raise BenchError(f"the robot's own broker did not take the task: {accepted}")
    return task


def _wait_result(target: Target, task: str) -> list[dict[str, Any]]:
    return wait_until(
        "the task's result reaches the fleet",
        lambda: [m for m in target.fleet_messages("FLEET_RESULTS") if m["id"] == task] or None,
    )


def _journalled(robot: Robot, task: str) -> str | None:
    """Return the state of a task in the worker's database."""
    answer = robot.ask("task", task)
    return answer.get("state") if answer.get("ok") else None
