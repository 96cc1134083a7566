"""The figures of a boot, from what a robot says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast_bench import boot
from holdfast_bench.bench import Bench
from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot

SHOWN = """InitRDTimestampMonotonic=5743700
UserspaceTimestampMonotonic=24334444
ActiveEnterTimestampMonotonic=53951996
NRestarts={restarts}
"""
MEMORY = "MemTotal:        2012160 kB\nMemFree:  1600000 kB\nMemAvailable:    1711104 kB\nHugePages_Total:       0\n"


def test_the_parts_of_a_boot_make_the_whole() -> None:
    told = boot.figures(SHOWN.format(restarts=0), MEMORY)
    assert told == {"kernel_s": 5.74, "initrd_s": 18.59, "system_s": 29.62, "loop_s": 53.95, "used_mib": 294}


def test_a_core_that_had_to_be_started_again_has_no_boot_time() -> None:
    with pytest.raises(BenchError, match="started again 2 times"):
        boot.figures(SHOWN.format(restarts=2), MEMORY)


class Rebooted:
    """The supply and the shell of a robot that boots the same each time."""

    def on(self) -> None:
        pass

    def off(self) -> None:
        pass

    def cut(self) -> None:
        pass

    def set_link(self, name: str, up: bool) -> None:
        pass

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        manager, unit = SHOWN.format(restarts=0).split("ActiveEnter")
        said = "loop" if "critical-chain" in command else ""
        if "systemctl show" in command:
            said = f"ActiveEnter{unit}" if boot.CORE in command else manager
        return subprocess.CompletedProcess(command, 0, MEMORY if "meminfo" in command else said, "")

    def start(self, command: str) -> subprocess.Popen[str]:
        raise AssertionError(command)


class RebootedBench(Bench):
    keeps_deadlines = False

    def __init__(self, folder: Path) -> None:
        robot = Rebooted()
        super().__init__(Robot(robot), robot, ConsoleLog(folder / "console.log"), robot)

    def wait_for_unit(self, unit: str) -> None:
        pass

    def _until_ready(self) -> float:
        return 60.0

    def _image(self) -> str:
        return "abc"

    def _back_end(self) -> str:
        return "paper"


def test_each_boot_is_told_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = boot.run(RebootedBench(tmp_path), count=2)
    assert (len(result["boots"]), result["loop_s"]) == (2, 53.95)
    outcome = "  the loop ran after 53.95 s, 294 MiB in use"
    assert capsys.readouterr().err.splitlines() == ["boot 1 of 2", outcome, "boot 2 of 2", outcome]
