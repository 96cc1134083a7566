"""A robot in a virtual machine that starts, works and is stopped, while all that its drive is told is logged.

Beside the log stands what the robot acknowledged, and how long the log was then: whatever a cut leaves of a longer log
must know of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from holdfast_bench.qemu import Vm
from holdfast_bench.qemu.disk import WRITES
from holdfast_bench.restarted import KEPT, Expected, by_task
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot, wait_until
from holdfast_bench.updates import Updated
from holdfast_bench.vm_bench import VmBench
from holdfast_image.build import repository_root

BEFORE, AFTER = "before.raw", "after.raw"
"""The drive as it was flashed, and at the end."""
STAGES = ("first start", "start", "work")
_ROUNDS = 4
_TASKS = 6
"""In each round before its deployment."""
_CONTROLLERS = ("sine.wat", "hold.wat", "constant.wat")
_START_LIMIT_S = 1800.0
_ANSWERED_LIMIT_S = 600.0
Kind = Literal["task", "controller", "stop", "reset"]


@dataclass(frozen=True)
class Act:
    """Something that the robot was asked for and acknowledged."""

    kind: Kind
    what: str
    """A task's id, the SHA-256 of a controller, the number of a stop."""
    begun: int
    """How long the log was when it was asked, in bytes."""
    done: int
    """How long it was when the robot had acknowledged it."""


@dataclass(frozen=True)
class Recording:
    """What a robot's drive was told; the files are those of its machine's folder."""

    folder: Path
    stages: Sequence[int]
    """Where in the log each of `STAGES` but the last ends, in bytes."""
    acts: Sequence[Act]
    answers: Sequence[tuple[int, Mapping[str, str]]]
    """What the fleet had been answered when the log was so many bytes long, by task."""
    seen: Sequence[Mapping[str, str]]
    """The files that must be whole, at the end of each stage as the robot itself saw them: path and SHA-256."""

    def stage_of(self, place: int) -> int:
        """Return the number of the stage in which the log has an entry at `place` bytes."""
        return sum(end <= place for end in self.stages)

    def expected_at(self, place: int) -> Expected:
        """Return what a robot must know whose power goes when the log is `place` bytes long."""
        done = [act for act in self.acts if act.done <= place]
        under_way = [act for act in self.acts if act.begun <= place < act.done]
        controllers = [act.what for act in done if act.kind == "controller"][-1:] or [""]
        stops = [act for act in done if act.kind in ("stop", "reset")][-1:]
        reset = any(act.kind == "reset" for act in (*stops, *under_way))
        return Expected(
            tasks=frozenset(act.what for act in done if act.kind == "task"),
            controllers=frozenset(
                [*controllers, *(act.what for act in under_way if act.kind == "controller")]
            ),
            stop=int(stops[0].what) if stops and not reset else None,
            answers={
                task: answer for at, given in self.answers if at <= place for task, answer in given.items()
            },
        )


class _Logged(Vm):
    """A machine that logs all that its drive is told, from its first power-on."""

    def __enter__(self) -> Self:
        entered = super().__enter__()
        self.copy_disk(BEFORE)
        self.logs_writes = True
        return entered


def record(board: str, folder: Path, report: Callable[[str], None]) -> Recording:
    """Let a new robot start for the first time, start again and work.

    Raises:
        BenchError: it does not do what it is asked for.
    """
    machines: list[_Logged] = []

    def machine(*arguments: Any, **named: Any) -> Vm:
        machines.append(_Logged(*arguments, **named))
        return machines[-1]

    report("a flashed drive starts for the first time, and all that it is told is logged")
    with VmBench.booted(folder, machine=machine, board=board) as bench:
        (vm,) = machines
        work = _Work(bench, vm.folder / WRITES)
        stages, seen = [work.logged()], [_seen(bench.robot)]
        report("it starts again")
        robot = Updated(vm.shell)
        before = robot.boot_id()
        vm.shell.run("systemctl reboot", check=False)
        wait_until("the robot starts again", lambda: robot.boot_id() not in ("", before), _START_LIMIT_S)
        bench.wait_ready()
        stages.append(work.logged())
        seen.append(_seen(bench.robot))
        for number in range(_ROUNDS):
            report(f"it works: round {number + 1} of {_ROUNDS}")
            work.round(number)
        seen.append(_seen(bench.robot))
        vm.off()
        vm.copy_disk(AFTER)
    return Recording(vm.folder, stages, work.acts, work.answers, seen)


def _seen(robot: Robot) -> dict[str, str]:
    # Those with a dot are locks and time stamps, whose content nobody needs.
    find = f"find {' '.join(KEPT.values())} -type f ! -name '.*' -exec sha256sum {{}} +"
    told = robot.shell.run(find).stdout
    return {path: digest for digest, path in (line.split("  ", 1) for line in told.splitlines())}


class _Work:
    """Asks the robot for one thing after the other, and notes how long the log is before and after."""

    def __init__(self, bench: VmBench, log: Path) -> None:
        self._bench = bench
        self._log = log
        self.acts: list[Act] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    def logged(self) -> int:
        """Return how long the log is, in bytes."""
        return self._log.stat().st_size

    def round(self, number: int) -> None:
        """Give tasks and a controller, stop the robot and reset it."""
        for _ in range(_TASKS):
            self._task()
        self._deploy(_CONTROLLERS[number % len(_CONTROLLERS)])
        self._stop(f"stop {number}")
        self._task()
        self._note("reset", "", lambda: _require(self._bench.robot.holdfast("robot", "reset"), "a reset"))
        self._task()
        self._wait_for_answers()

    def _note(self, kind: Kind, what: str, do: Callable[[], None]) -> None:
        begun = self.logged()
        do()
        self.acts.append(Act(kind, what, begun, self.logged()))

    def _stop(self, reason: str) -> None:
        begun = self.logged()
        self._bench.operator_estop(reason)
        done = self.logged()
        self.acts.append(Act("stop", str(self._bench.robot.safety()["latch_sequence"]), begun, done))

    def _wait_for_answers(self) -> None:
        tasks = {act.what for act in self.acts if act.kind == "task"}

        def all_of_them() -> dict[str, list[str]] | None:
            given = by_task(self._bench.fleet_messages("FLEET_RESULTS"))
            return given if tasks <= given.keys() else None

        given = wait_until("the fleet has the answer to each task", all_of_them, _ANSWERED_LIMIT_S)
        self.answers.append((self.logged(), {task: given[task][0] for task in tasks}))

    def _task(self) -> None:
        name = f"write-{len(self.acts)}"
        body = json.dumps({"id": name, "kind": "status_report", "requires": [], "args": {}})
        subject = f"holdfast.{self._bench.robot_id}.task"
        self._note("task", name, lambda: _require(self._bench.robot.ask("publish", subject, body), name))

    def _deploy(self, controller: str) -> None:
        file = repository_root() / "examples" / "controllers" / controller
        source = file.read_bytes()
        body = {"name": file.stem, "version": "", "source_b64": base64.b64encode(source).decode()}
        self._note(
            "controller",
            hashlib.sha256(source).hexdigest(),
            lambda: _require(self._bench.request("deploy", body), controller),
        )


def _require(answer: dict[str, Any], what: str) -> None:
    if not answer.get("ok"):
        raise BenchError(f"the robot refused {what}: {answer}")
