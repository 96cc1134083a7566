"""Scenario `estop`: each way into a latched stop, on the moving robot.

For every case: the drives receive the safe frame, the reset is refused while the cause stands, the latch
survives a power
cut, and after the reset nothing moves until somebody arms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from holdfast_bench.facade import Power
from holdfast_bench.one_by_one import one_by_one
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot, wait_until


class Target(Protocol):
    """What the scenario needs of the bench."""

    robot: Robot
    """The robot under test."""

    @property
    def power(self) -> Power:
        """Its power supply."""
        ...

    def wait_ready(self) -> float:
        """Wait for holdfast.target; returns the seconds since power-on."""
        ...

    def operator_estop(self, reason: str) -> None:
        """Press the operator's stop on the workstation (over the fleet's NATS)."""
        ...


@dataclass(frozen=True)
class Case:
    """One way to stop."""

    name: str
    cause: str
    controller: str
    trigger: Callable[[Target], None]
    stands: bool
    """The cause is still there after the stop, so that a reset must be refused."""


def _kill(unit: str) -> Callable[[Target], None]:
    """SIGKILL a unit's processes; it stays dead until the next boot, so that the cause stands."""

    def trigger(target: Target) -> None:
        directory = f"/run/systemd/system/{unit}.d"
        target.robot.shell.run(
            f"mkdir -p {directory} && printf '[Service]\\nRestart=no\\n' > {directory}/90-stay-dead.conf"
            f" && systemctl daemon-reload && systemctl kill --signal=SIGKILL {unit}"
        )

    return trigger


def _nothing(_: Target) -> None:
    """The controller does it by itself."""


CASES = (
    Case("operator", "operator", "moving.wat", lambda t: t.operator_estop("scenario estop"), stands=False),
    Case("core-killed", "core_lost", "moving.wat", _kill("holdfast-control.service"), stands=True),
    Case("worker-killed", "worker_lost", "moving.wat", _kill("holdfast-worker.service"), stands=True),
    Case("controller-nan", "controller_not_finite", "late_nan.wat", _nothing, stands=True),
    Case("controller-request", "controller_request", "late_estop.wat", _nothing, stands=True),
)


def _set_in_motion(target: Target, controller: str) -> None:
    robot = target.robot
    robot.deploy(controller)
    robot.arm()
    if controller == "moving.wat":
        robot.wait_moving()


def _prove_reset_refused(robot: Robot, cause: str) -> str:
    answer = robot.holdfast("robot", "reset")
    if answer["ok"]:
        raise BenchError(f"the reset was granted although the cause {cause} stands")
    return str(answer["error"])


def _prove_reset_leaves_it_still(robot: Robot) -> None:
    wait_until("the reset is granted once the cause is gone", lambda: robot.holdfast("robot", "reset")["ok"])
    robot.prove_standstill()
    mode = robot.control()["mode"]
    if mode != "disarmed":
        raise BenchError(f"after the reset the core is {mode}, not disarmed")


def run_case(target: Target, case: Case) -> dict[str, Any]:
    """Run one case on a robot without a latched stop; leaves it reset and disarmed after a power cut."""
    robot = target.robot
    _set_in_motion(target, case.controller)
    case.trigger(target)
    status = robot.wait_latched(case.cause)
    frames = robot.wait_safe_frames()
    refusal = _prove_reset_refused(robot, case.cause) if case.stands else None
    target.power.cut()
    target.power.on()
    ready_s = target.wait_ready()
    after = robot.wait_latched(case.cause)
    if after["latch_sequence"] != status["latch_sequence"]:
        raise BenchError(f"the power cut made stop {status['latch_sequence']} into {after['latch_sequence']}")
    _prove_reset_leaves_it_still(robot)
    return {
        "cause": case.cause,
        "reason": status.get("reason"),
        "safe_frames": frames,
        "reset_refused": refusal,
        "latched_after_power_cut": True,
        "boot_s": ready_s,
    }


def run(target: Target, cases: tuple[Case, ...] = CASES) -> dict[str, Any]:
    """Run every case; the result is keyed by its name."""

    def stopped(proved: dict[str, Any]) -> str:
        return f"latched for {proved['cause']}, also after the power cut; ready again after {proved['boot_s']:.0f} s"

    each = {case.name: partial(run_case, target, case) for case in cases}
    return {"cases": one_by_one("case", each, stopped)}
