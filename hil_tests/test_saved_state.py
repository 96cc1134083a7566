"""A robot that goes on from a saved state: its own from then on, and in the present."""

from __future__ import annotations

import pytest

from holdfast_bench.checks.fixture import MACHINES, folder_name
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("saved-state", "fleet")

MARK = "/var/lib/holdfast/was-here"


@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_a_test_does_to_its_robot_the_next_one_does_not_see(bench: VmBench, turn: str) -> None:
    assert bench.robot.shell.run(f"ls {MARK}", check=False).returncode != 0
    bench.robot.shell.run(f"echo {turn} > {MARK} && sync")


def test_its_clock_does_not_stand_where_it_was_saved(bench: VmBench, request: pytest.FixtureRequest) -> None:
    made_before_power_on = MACHINES / folder_name(request.node.nodeid) / "machine/ssh-key"
    assert float(bench.robot.shell.run("date +%s.%N").stdout) >= made_before_power_on.stat().st_mtime
