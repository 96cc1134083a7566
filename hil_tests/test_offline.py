"""The link to the fleet is cut while the robot moves."""

from __future__ import annotations

import pytest

from holdfast.modes import FOLLOWING
from holdfast_bench import offline
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("links", "fleet", "simulated-drives")


def test_robot_goes_on_without_the_fleet_and_loses_nothing(bench: VmBench) -> None:
    proved = offline.run(bench)
    assert proved["cycles"] >= offline.OFFLINE_CYCLES
    assert proved["mode"] in FOLLOWING
    assert proved["task"] == {"while_offline": "queued", "results": 1}
    assert proved["telemetry"]["gaps"] == 0


def test_a_robot_whose_streams_begin_anew_is_still_gathered(bench: VmBench) -> None:
    offline.lose_streams(bench)
