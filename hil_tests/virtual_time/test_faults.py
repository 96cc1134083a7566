"""Faults in virtual time: what the robot does is the same in each run, so whoever saw it once can see it again."""

from __future__ import annotations

import pytest

from holdfast_bench.play_scenario import play_virtual
from holdfast_bench.scenarios import find_scenario

pytestmark = pytest.mark.needs("virtual-time")


def test_two_runs_of_a_scenario_give_the_same_events() -> None:
    first, second = (play_virtual(*find_scenario("faults")) for _ in range(2))
    assert first["events"] == second["events"]
    assert len(first["events"]) > 10
    # Not only to the millisecond of the log: each latency, to the microsecond.
    for figure in ("cycles", "missed", "wake_us", "cycle_us", "phases_us"):
        assert first[figure] == second[figure]


def test_a_disk_that_fails_costs_no_deadline_and_no_stop() -> None:
    result = play_virtual(*find_scenario("failing-disk"))
    told = [event["event"] for event in result["events"]]
    assert told.index("disk is fast") < told.index("disk_fails") < told.index("stop latched")
