"""What every bench does whatever its back end, on one that only writes down what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.ssh import RemoteShell
from holdfast_bench.robot import Robot


class Recorded(RemoteShell):
    """A robot's supply, cables and shell."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def on(self) -> None:
        self.happened.append("on")

    def off(self) -> None:
        self.happened.append("off")

    def cut(self) -> None:
        self.happened.append("cut")

    def set_link(self, name: str, up: bool) -> None:
        self.happened.append(f"{name} {up}")

    def _argv(self, command: str) -> list[str]:
        return ["echo", "said:", command]


class RecordedBench(Bench):
    keeps_deadlines = True

    def __init__(self, recorded: Recorded, folder: Path) -> None:
        super().__init__(Robot(recorded), recorded, ConsoleLog(folder / "console.log"), recorded)

    def wait_for_unit(self, unit: str) -> None:
        pass

    def _until_ready(self) -> float:
        return 2.0

    def _image(self) -> str:
        return "abc"

    def _back_end(self) -> str:
        return "paper"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def on_paper(recorded: Recorded, tmp_path: Path) -> RecordedBench:
    made = RecordedBench(recorded, tmp_path)
    made.before_cut = lambda: recorded.happened.append("looked at")
    return made


@pytest.mark.parametrize("end", ["cut", "off"])
def test_a_robot_that_is_ready_is_looked_at_once_before_its_supply_goes(
    on_paper: RecordedBench, recorded: Recorded, end: str
) -> None:
    on_paper.power.on()
    assert on_paper.wait_ready() == 2.0
    getattr(on_paper.power, end)()
    on_paper.power.cut()
    assert recorded.happened == ["on", "looked at", end, "cut"]


def test_the_cut_of_a_robot_that_boots_waits_for_nobody(on_paper: RecordedBench, recorded: Recorded) -> None:
    on_paper.wait_ready()
    for _ in range(2):
        on_paper.power.cut()
        on_paper.power.on()
    assert recorded.happened == ["looked at", "cut", "on", "cut", "on"]


def test_nobody_has_to_look(on_paper: RecordedBench, recorded: Recorded) -> None:
    on_paper.before_cut = None
    on_paper.wait_ready()
    on_paper.power.cut()
    assert recorded.happened == ["cut"]


def test_the_identity_names_bench_image_kernel_back_end_commit_and_probe(on_paper: RecordedBench) -> None:
    on_paper.name, on_paper.probe = "desk", "firmware 7"
    said = on_paper.identity()
    assert said.pop("commit")
    assert said == {
        "bench": "desk",
        "image": "abc",
        "kernel": "said: uname -r",
        "back end": "paper",
        "probe": "firmware 7",
    }
