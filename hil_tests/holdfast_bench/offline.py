"""Scenario `offline`: the link to the fleet is cut while the robot moves.

Loop and controller go on without a stop; a task that needs the fleet is journalled and runs when the link
is back; telemetry
is buffered on the robot and arrives at the fleet complete and in order.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Protocol

from holdfast.status import missed_deadlines
from holdfast_bench.facade import OUTSIDE, Faults
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot, wait_until

OFFLINE_CYCLES = 10_000
OFFLINE_TELEMETRY = 5


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

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        """Return every message that the fleet's stream holds from this robot, oldest first."""
        ...


def _in_reach(target: Target) -> bool | None:
    """Whether the robot itself knows the fleet to be in reach; None if its worker does not say."""
    up = target.robot.ask("fleet_link", target.robot_id).get("up")
    return None if up is None else bool(up)


def _telemetry(target: Target) -> list[int]:
    return [int(message["seq"]) for message in target.fleet_messages("FLEET_TELEMETRY")]


def run(target: Target) -> dict[str, Any]:
    """Run the scenario on a robot that is connected and not latched; leaves it connected and disarmed."""
    robot = target.robot
    robot.deploy("moving.wat")
    robot.arm()
    robot.wait_moving()
    wait_until("the fleet receives telemetry", lambda: _telemetry(target))

    target.faults.set_link(OUTSIDE, up=False)
    wait_until("the robot notices that the fleet is gone", lambda: _in_reach(target) is False)
    seen_before = _telemetry(target)[-1]
    before = robot.control()
    task = f"offline-{uuid.uuid4().hex}"
    request = {"id": task, "kind": "status_report", "requires": ["fleet"], "args": {}}
    accepted = robot.ask("publish", f"holdfast.{target.robot_id}.task", json.dumps(request))
    if not accepted.get("ok"):
        raise BenchError(f"the robot's own broker did not take the task: {accepted}")
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

    target.faults.set_link(OUTSIDE, up=True)
    wait_until("the robot is back in the fleet", lambda: _in_reach(target))
    results = wait_until(
        "the task's result reaches the fleet",
        lambda: [m for m in target.fleet_messages("FLEET_RESULTS") if m["id"] == task] or None,
    )
    wait_until(
        "the telemetry of the time offline reaches the fleet",
        lambda: _telemetry(target)[-1] >= seen_before + OFFLINE_TELEMETRY,
    )
    telemetry = _telemetry(target)
    if telemetry != list(range(telemetry[0], telemetry[0] + len(telemetry))):
        raise BenchError(f"telemetry arrived out of order or with gaps: {telemetry}")
    robot.disarm()
    return {
        "cycles": during["cycle"] - before["cycle"],
        "missed": missed_deadlines(during["counters"]) - missed_deadlines(before["counters"]),
        "controller": during["controller"],
        "mode": during["mode"],
        "task": {"while_offline": journalled, "results": len(results)},
        "telemetry": {"received": len(telemetry), "first": telemetry[0], "last": telemetry[-1], "gaps": 0},
    }


def _journalled(robot: Robot, task: str) -> str | None:
    """Return the state of a task in the worker's database."""
    answer = robot.ask("task", task)
    return answer.get("state") if answer.get("ok") else None
