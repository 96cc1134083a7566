"""What the scenario `power-cut` judges, on a robot that is simulated down to its answers."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast.errors import UnreachableError
from holdfast_bench import power_cut
from holdfast_bench.cuts import Cut
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot


@dataclass
class SimulatedRobot:
    """A robot that forgets on purpose: shell, supply and fleet in one."""

    loses_tasks: int = 0
    answers_twice: bool = False
    damaged: bool = False
    forgets_controller: bool = False
    loads_late: int = 0
    """How often it is asked for its controller before that is loaded again."""
    failed_unit: str = ""
    stays_away: bool = False
    """It boots, and does not come back into its fleet."""
    on_: bool = True
    tasks: list[str] = field(default_factory=list)
    controller: str = ""
    still_without: int = 0

    robot_id = "simulated-01"

    def __post_init__(self) -> None:
        self.robot: Robot = _Answers(self)

    @property
    def power(self) -> SimulatedRobot:
        return self

    def on(self) -> None:
        self.on_ = True

    def off(self) -> None:
        self.cut()

    def cut(self) -> None:
        self.on_ = False
        self.still_without = self.loads_late
        del self.tasks[len(self.tasks) - min(self.loses_tasks, len(self.tasks)) :]
        if self.forgets_controller:
            self.controller = hashlib.sha256(b"another").hexdigest()

    def wait_ready(self) -> float:
        assert self.on_
        if self.stays_away:
            raise UnreachableError("simulated-01 is not ready")
        return 1.0

    def request(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        if not self.on_:
            raise BenchError("nobody answered")
        self.controller = hashlib.sha256(base64.b64decode(body["source_b64"])).hexdigest()
        return {"ok": True}

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        assert stream == "FLEET_RESULTS"
        times = 2 if self.answers_twice else 1
        return [{"id": task} for task in self.tasks for _ in range(times)]


class _Answers(Robot):
    """What the simulated robot says."""

    def __init__(self, simulated: SimulatedRobot) -> None:
        super().__init__(_NoShell(simulated))
        self._simulated = simulated

    def ask(self, *arguments: str) -> dict[str, Any]:
        simulated = self._simulated
        if not simulated.on_:
            raise BenchError("no answer")
        if arguments[0] == "integrity":
            return {"ok": True, "integrity_check": ["row 3 missing"] if simulated.damaged else ["ok"]}
        if arguments[0] == "publish":
            simulated.tasks.append(json.loads(arguments[2])["id"])
            return {"ok": True}
        if simulated.still_without:
            simulated.still_without -= 1
            return {"ok": True, "controller": None}
        return {"ok": True, "controller": {"sha256": simulated.controller} if simulated.controller else None}


class _NoShell:
    def __init__(self, simulated: SimulatedRobot) -> None:
        self._simulated = simulated

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, self._simulated.failed_unit, "")

    def start(self, command: str) -> subprocess.Popen[str]:
        raise AssertionError(command)


def first_seed(kind: str) -> int:
    """A seed of this kind whose moment comes soon."""
    cuts = (Cut.drawn(seed, power_cut.MOMENTS_S) for seed in range(10_000))
    return next(cut.seed for cut in cuts if cut.kind == kind and cut.after_s < 1.2)


@pytest.mark.parametrize("kind", ["writing", "deploying", "booting"])
def test_what_was_acknowledged_is_counted(kind: str) -> None:
    seed = first_seed(kind)
    result = power_cut.run(SimulatedRobot(), count=1, seed=seed)
    assert result["seeds"] == [seed]
    assert result["kinds"][kind] == 1
    assert (result["acknowledged"]["tasks"] > 0) == (kind == "writing")
    assert (result["acknowledged"]["deployments"] > 0) == (kind == "deploying")


def test_a_controller_may_be_loaded_a_moment_after_the_robot_is_ready() -> None:
    robot = SimulatedRobot(controller="that of before", loads_late=2)
    assert power_cut.run(robot, count=1, seed=first_seed("booting"))["lost"] == 0


@pytest.mark.parametrize(
    ("kind", "robot", "said"),
    [
        ("writing", SimulatedRobot(answers_twice=True), "answered more than once: cut-"),
        ("writing", SimulatedRobot(damaged=True), "database is damaged"),
        ("booting", SimulatedRobot(failed_unit="holdfast-worker.service"), "failed units: holdfast-worker"),
        ("deploying", SimulatedRobot(forgets_controller=True), "the controller is "),
        ("booting", SimulatedRobot(stays_away=True), "simulated-01 is not ready"),
        (
            "booting",
            SimulatedRobot(controller="that of before", loads_late=10**6),
            "it is none, not that of before",
        ),
    ],
)
def test_a_loss_is_told_with_the_seed_that_repeats_it(kind: str, robot: SimulatedRobot, said: str) -> None:
    seed = first_seed(kind)
    with pytest.raises(BenchError) as error:
        power_cut.run(robot, count=1, seed=seed, settle_limit_s=0.5)
    assert said in str(error.value)
    assert f"holdfast bench run power-cut --seed {seed} --count 1" in str(error.value)


def test_a_lost_task_is_a_loss() -> None:
    with pytest.raises(BenchError, match="every acknowledged task is answered"):
        power_cut.run(SimulatedRobot(loses_tasks=1), count=1, seed=first_seed("writing"), settle_limit_s=0.5)
