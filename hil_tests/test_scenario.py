"""A scenario file on a robot in real time, driven from outside."""

from __future__ import annotations

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.guest.scenario_file import Scenario
from holdfast_bench.play_scenario import play_on


@pytest.mark.needs("fleet", "links")
def test_a_scenario_plays_on_the_robot_from_outside(bench: Bench) -> None:
    scenario = Scenario.model_validate(
        {
            "shows": "the link goes and comes back while tasks are given",
            "robot": "arm.toml",
            "controller": "moving.wat",
            "seconds": 30,
            "fleet": True,
            "watch_ms": 200,
            "event": [
                {"do": "link", "at_s": 0, "up": False},
                {"do": "task", "at_s": 5, "every_s": 10, "fleet": True},
                {"do": "clock_jump", "at_s": 18, "by_s": 3600},
                {"do": "clock_jump", "at_s": 22, "by_s": -3600},
                {"do": "link", "at_s": 24, "up": True},
            ],
            "expect": {"mode": "running", "cause": "none", "fleet": "complete"},
        }
    )
    result = play_on(bench, scenario)
    bench.robot.disarm()
    assert result["fleet"]["results"] == 3
    assert result["fleet"]["telemetry"]["gaps"] == 0
    caused = [event["event"] for event in result["events"] if event.get("by") == "scenario"]
    assert caused == ["link", "task", "task", "clock_jump", "clock_jump", "link", "task"]
