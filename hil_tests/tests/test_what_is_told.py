"""A scenario that takes minutes tells on standard error what it does: each case as it begins, and its outcome."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from holdfast.errors import UnreachableError
from holdfast_bench import estop, offline, safety_lines
from holdfast_bench.one_by_one import one_by_one
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot


class Shell:
    """A shell on which all succeeds, but for the commands with one word."""

    def __init__(self, fails_at: str = "") -> None:
        self._fails_at = fails_at

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        if self._fails_at and self._fails_at in command:
            raise BenchError("no answer")
        return subprocess.CompletedProcess(command, 0, "", "")

    def start(self, command: str) -> subprocess.Popen[str]:
        raise AssertionError(command)


class Answers(Robot):
    """What a robot says that does as it should."""

    def __init__(self, bench: SimulatedBench, shell: Shell) -> None:
        super().__init__(shell)
        self._bench = bench
        self.mode = "disarmed"
        self._turns = 0

    def holdfast(self, *arguments: str) -> dict[str, Any]:
        self.mode = "running" if arguments[1] == "arm" else "disarmed"
        return {"ok": True}

    def ask(self, *arguments: str) -> dict[str, Any]:
        self._turns += 1
        match arguments:
            case ["socket", "control.sock", _]:
                cycles = 20_000 * self._turns
                loop = {"cycle": cycles, "counters": {}, "controller": {"state": "running"}, "boot_id": 1}
                return {"arm_blockers": [], "mode": self.mode, **loop}
            case ["socket", "safety.sock", _]:
                return {"latched": True, "cause": self._bench.cause, "latch_sequence": 1}
            case ["socket", "plant-control.sock", _]:
                velocity = 6.0 if self.mode == "running" else 0.0
                spindle = {"velocity": velocity, "position": 0.0, "input": 0, "mode": "velocity"}
                return {"ok": True, "drives": {"spindle": {"frames": 1000 * self._turns, **spindle}}}
            case ["fleet_link", _]:
                return {"up": self._bench.link}
            case ["publish", *_]:
                return {"ok": True}
            case ["task", _]:
                return {"ok": True, "state": "queued"}
        raise AssertionError(arguments)


class SimulatedBench:
    """Robot, supply, cables and fleet in one."""

    robot_id = "simulated-01"

    def __init__(self, shell: Shell | None = None, cause: str = "operator") -> None:
        self._answers = Answers(self, shell or Shell())
        self.robot: Robot = self._answers
        self.cause = cause
        self.link = True
        self._told = 1

    @property
    def power(self) -> SimulatedBench:
        return self

    @property
    def faults(self) -> SimulatedBench:
        return self

    def on(self) -> None:
        pass

    def off(self) -> None:
        pass

    def cut(self) -> None:
        pass

    def set_link(self, name: str, up: bool) -> None:
        self.link = up

    def wait_ready(self) -> float:
        return 41.0

    def operator_estop(self, reason: str) -> None:
        self._answers.mode = "estop"

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        if stream == "FLEET_RESULTS":
            return [{"id": AnyTask()}]
        self._told += 10
        return [{"seq": number, "boot_id": 1} for number in range(self._told)]


class AnyTask(str):
    """The id of whichever task is looked for."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    __hash__ = str.__hash__


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_each_case_is_told_with_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"first": lambda: 3, "second": lambda: 4}
    assert one_by_one("case", cases, lambda number: f"came to {number}") == {"first": 3, "second": 4}
    assert told(capsys) == ["case 1 of 2, first", "  came to 3", "case 2 of 2, second", "  came to 4"]


@pytest.mark.parametrize("error", [BenchError("it fell"), UnreachableError("it fell")])
def test_a_case_that_fails_is_named(error: Exception) -> None:
    def fall() -> None:
        raise error

    with pytest.raises(BenchError, match=r"^somersault: it fell$"):
        one_by_one("case", {"somersault": fall})


def test_each_way_into_a_stop_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    result = estop.run(SimulatedBench(), estop.CASES[:1])
    assert result["cases"]["operator"]["boot_s"] == 41.0
    assert told(capsys) == [
        "case 1 of 1, operator",
        "  latched for operator, also after the power cut; ready again after 41 s",
    ]


def test_each_case_of_the_wires_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bench = SimulatedBench(Shell(fails_at="pull-up"), "estop_line")
    with pytest.raises(BenchError, match=r"^press_and_release: no answer"):
        safety_lines.run(bench)
    assert told(capsys) == ["case 1 of 7, press_and_release"]


def test_the_steps_without_the_fleet_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    offline.run(SimulatedBench())
    steps = told(capsys)
    assert steps[:4] == [
        "the robot is set in motion",
        "the link to the fleet is cut for 10000 cycles",
        "  nothing stopped, and the task that needs the fleet waits",
        "the link is back",
    ]
    assert steps[4].startswith("  the task's result has arrived")
