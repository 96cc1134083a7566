"""Running scenario files: in virtual time inside the guest, in real time on a bench from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from holdfast.command import errors as terminal
from holdfast.session import env_lines
from holdfast_bench.bench import Bench
from holdfast_bench.bench_file import BenchFile
from holdfast_bench.facade import OUTSIDE
from holdfast_bench.guest.fleet_beside import hub_beside
from holdfast_bench.guest.scenario_file import ClearFaults, DriveFault, Link, Measure, Scenario
from holdfast_bench.open_bench import open_bench
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_bench.robot import PYTHON
from holdfast_bench.timing import keep_timing
from holdfast_bench.virtual_scenario import example_robot, run_in_guest
from holdfast_image.build import repository_root

_PLAYER = f"{PYTHON} -m holdfast_bench.guest -"


def play_virtual(name: str, scenario: Scenario) -> dict[str, Any]:
    """Play a scenario in virtual time.

    Raises:
        BenchError: the robot did not do what the scenario expects, or the guest did not run to its end.
    """
    credentials = example_robot(scenario.robot)
    if scenario.fleet:
        credentials["holdfast.fleet-url"] = hub_beside().leaf_url
    if scenario.environment:
        credentials["holdfast.env"] = env_lines(scenario.environment)
    return run_in_guest(
        {"name": "play", "scenario": scenario.model_dump(mode="json", exclude_none=True)},
        name=name,
        virtual_s=round(scenario.seconds),
        limit_s=1800.0 + 20 * scenario.seconds,
        credentials=credentials,
        with_ollama=scenario.needs_ollama,
    )


def needs(scenario: Scenario) -> frozenset[str]:
    """Return what a bench must offer to play it in real time: what its events are done to."""
    found = {"fleet"} if scenario.fleet else set()
    if any(isinstance(event, Link) for event in scenario.event):
        found.add("links")
    if any(isinstance(event, DriveFault | ClearFaults | Measure) for event in scenario.event):
        found.add("simulated-drives")
    if scenario.needs_ollama:
        found.add("ollama")
    return frozenset(found)


def play_real(chosen: BenchFile, name: str, scenario: Scenario) -> dict[str, Any]:
    """Play a scenario from outside and in real time; `name` is its folder below build/bench.

    Raises:
        BenchError: the bench has no such robot, or it did not do what the scenario expects.
    """
    robot = None
    if chosen.robot != scenario.robot:
        here = f"{chosen.robot} stands here" if chosen.robot else "its bench file names no robot"
        chosen.require(frozenset({"fresh-machine"}), f"a scenario for {scenario.robot} ({here})")
        robot = repository_root() / "examples" / "robots" / scenario.robot
    lines: list[dict[str, Any]] = []
    with open_bench(chosen, robot_file=robot, environment=scenario.environment) as bench:
        result = play_on(bench, scenario, lines.append)
    return {**result, **keep_timing(lines, scenario_directory(name))}


def play_on(
    bench: Bench, scenario: Scenario, on_line: Callable[[dict[str, Any]], None] = lambda line: None
) -> dict[str, Any]:
    """Play a scenario on a robot that is ready; missed deadlines are judged where the bench keeps deadlines.

    `on_line` sees each line that the robot reports.

    Raises:
        BenchError: the robot did not do what the scenario expects.
    """
    if not bench.keeps_deadlines:
        expected = scenario.expect.model_copy(update={"missed": None})
        scenario = scenario.model_copy(update={"expect": expected})
    request = {
        "name": "play",
        "scenario": scenario.model_dump(mode="json", exclude_none=True),
        "hub_url": bench.hub_url_inside,
    }
    process = bench.robot.shell.start(_PLAYER)
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        print(json.dumps(request), file=process.stdin, flush=True)
        for line in _lines(process.stdout):
            on_line(line)
            if "outside" in line:
                bench.faults.set_link(OUTSIDE, up=bool(line["outside"]["link"]))
            elif "event" in line:
                terminal.print(f"{line['t_s']:8.1f} s  {_told(line)}", markup=False)
            elif "error" in line:
                raise BenchError(f"on the robot: {line['error']}")
            elif "result" in line:
                return dict(line["result"])
    finally:
        process.kill()
        process.communicate()
        if any(isinstance(event, Link) for event in scenario.event):
            bench.faults.set_link(OUTSIDE, up=True)
    raise BenchError("the scenario on the robot ended without a result")


def _lines(stream: Any) -> Iterator[dict[str, Any]]:
    for text in stream:
        try:
            line = json.loads(text)
        except ValueError:
            raise BenchError(f"the scenario on the robot said: {text.strip()}") from None
        yield line


def _told(line: dict[str, Any]) -> str:
    fields = ", ".join(
        f"{key} {value}" for key, value in line.items() if key not in {"clock_s", "t_s", "event"}
    )
    return f"{line['event']}: {fields}" if fields else str(line["event"])
