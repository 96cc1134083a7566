"""Scenario files played on real processes of this machine: events are caused, reactions seen, the end judged."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast_bench.guest.__main__ import run
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.scenario import Reporter, Rig

OnRobot = Callable[[str, Callable[[Rig], Awaitable[None]]], None]


async def played(rig: Rig, **scenario: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Play it; returns the result and the lines that were reported."""
    whole = {"shows": "a test", "robot": "diff_drive.toml", "controller": "cruise.wat", **scenario}
    said = io.StringIO()
    result = await run({"name": "play", "scenario": whole}, rig, Reporter(said))
    return result, [json.loads(line) for line in said.getvalue().splitlines()]


def happened(result: dict[str, Any]) -> list[str]:
    """What happened, in its order: events by their names, the robot's modes as "-> mode"."""
    return [
        f"-> {line['mode']}" if line["event"] == "robot" and "mode" in line else str(line["event"])
        for line in result["events"]
        if line["event"] != "robot" or "mode" in line
    ]


def in_order(wanted: list[str], found: list[str]) -> bool:
    """Whether all of them were found, in this order, with others between."""
    rest = iter(found)
    return all(any(name == other for other in rest) for name in wanted)


def test_nothing_is_lost_while_the_fleet_is_away(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        result, _ = await played(
            rig,
            seconds=6,
            fleet=True,
            event=[
                {"do": "link", "at_s": 0, "up": False},
                {"do": "task", "at_s": 1, "every_s": 2},
                {"do": "task", "at_s": 2, "fleet": True},
            ],
            expect={"cause": "none", "fleet": "complete"},
        )
        assert result["fleet"]["tasks"] == result["fleet"]["results"] == 4
        assert result["fleet"]["telemetry"]["gaps"] == 0
        assert result["fleet"]["telemetry"]["received"] >= 5
        assert in_order(["start", "link", "task", "task", "task", "task", "end"], happened(result))
        assert result["cycles"] > 0

    on_robot("diff_drive", body)


def test_the_robots_reactions_are_in_the_log(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        result, lines = await played(
            rig,
            seconds=6,
            event=[
                {"do": "command", "at_s": 0.5, "what": "pause"},
                {"do": "command", "at_s": 1.5, "what": "resume"},
                {"do": "command", "at_s": 2.5, "what": "estop"},
                {"do": "command", "at_s": 3, "what": "arm"},
                {"do": "command", "at_s": 3.5, "what": "reset"},
                {"do": "command", "at_s": 5, "what": "estop"},
            ],
            expect={"mode": "estop", "cause": "operator"},
        )
        told = ["start", "command", "-> paused", "command", "command", "stop latched", "command", "refused"]
        told += ["command", "-> disarmed", "command", "stop latched", "end"]
        assert in_order(told, happened(result))
        assert [line for line in lines if "event" in line and "t_s" in line] == [
            {"clock_s": line["clock_s"], **event}
            for line, event in zip(lines, result["events"], strict=False)
        ]
        caused = [line["t_s"] for line in result["events"] if line.get("by") == "scenario"]
        assert caused == [0.5, 1.5, 2.5, 3, 3.5, 5]

    on_robot("diff_drive", body)


def test_faults_of_the_plant_are_caused(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        result, _ = await played(
            rig,
            seconds=8,
            event=[{"do": "fault", "at_s": 1, "kind": "silent", "device": "left_wheel"}],
            expect={"mode": "disarmed"},
        )
        assert "drive left_wheel is silent" in result["stopped"]

    on_robot("diff_drive", body)


def test_a_fault_of_a_device_that_is_not_there_is_a_mistake(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        with pytest.raises(ScenarioError, match="at 0 s: fault: there is no drive"):
            await played(
                rig, seconds=1, event=[{"do": "fault", "at_s": 0, "kind": "silent", "device": "third"}]
            )

    on_robot("diff_drive", body)


def test_a_process_can_be_stopped_and_goes_on(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        result, _ = await played(
            rig,
            seconds=7,
            event=[
                {"do": "signal", "at_s": 0.5, "part": "control", "signal": "STOP"},
                {"do": "signal", "at_s": 5, "part": "control", "signal": "CONT"},
            ],
            expect={"mode": "estop", "cause": "core_lost"},
        )
        assert in_order(["signal", "stop latched", "signal", "-> estop"], happened(result))

    on_robot("diff_drive", body)


def test_another_end_than_expected_fails(on_robot: OnRobot) -> None:
    async def body(rig: Rig) -> None:
        with pytest.raises(ScenarioError, match="mode is 'disarmed', not 'running'"):
            await played(
                rig,
                seconds=2,
                event=[{"do": "command", "at_s": 0.5, "what": "disarm"}],
                expect={"mode": "running"},
            )

    on_robot("diff_drive", body)
