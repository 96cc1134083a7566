"""Plays a scenario file (holdfast_bench.scenario_file) on the robot that this process runs on.

Every event and every reaction of the robot is a line {"t_s", "event", ...}. Their times are those of the robot's
monotonic clock, in milliseconds since the start; two runs in virtual time give the same lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import nats
import numpy as np

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import HoldfastError, RefusedError
from holdfast.fleet import gather, is_ready
from holdfast.layout import Layout, SegmentReader, load_layout
from holdfast_bench.guest import actions
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.deadlines import arm
from holdfast_bench.guest.faulty_disk import FaultyDisk
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_bench.guest.local_model import LocalModel
from holdfast_bench.guest.loop_figures import LoopFigures
from holdfast_bench.guest.processor_time import ProcessorTime
from holdfast_bench.guest.scenario import Reporter, Rig, until
from holdfast_bench.guest.scenario_file import (
    AskModel,
    Command,
    Deploy,
    DiskFails,
    DiskSlow,
    Event,
    Expected,
    Inputs,
    Scenario,
    Task,
)

_POLL_S = 1.0
_PATIENCE_S = 300.0


class Log:
    """The events of one run, reported as they come."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._start = time.monotonic()
        self.events: list[dict[str, Any]] = []

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def add(self, event: str, at_s: float | None = None, **fields: Any) -> None:
        """Note what happens now, or happened at `at_s`."""
        moment_s = self.now_s if at_s is None else at_s
        line = {"t_s": round(moment_s, 3), "event": event, **fields}
        self.events.append(line)
        self._report.line(**line)

    def since_start_s(self, mono_ns: int) -> float:
        """Return a moment of CLOCK_MONOTONIC as seconds since the start."""
        return mono_ns / 1e9 - self._start


class Watch:
    """Notes what the robot does: modes, stops, its controller's state."""

    def __init__(self, core: SegmentReader, safety: SegmentReader, layout: Layout, log: Log) -> None:
        self._core = core
        self._safety = safety
        self._layout = layout
        self._log = log
        self._seen: dict[str, Any] = self._look()

    def _look(self) -> dict[str, Any]:
        core, safety = self._core.read(), self._safety.read()
        return {
            "mode": self._layout.enums["Mode"][int(core["mode"])],
            "controller": self._layout.enums["ControllerState"][int(core["controller_state"])],
            "stop": int(safety["latch_sequence"]),
        }

    def note(self) -> None:
        """Look once."""
        now = self._look()
        changed = {key: value for key, value in now.items() if value != self._seen[key]}
        self._seen = now
        if changed.pop("stop", 0):
            latched_ns = int(self._safety.read()["latch_mono_ns"])
            self._log.add("stop latched", self._log.since_start_s(latched_ns))
        if changed:
            self._log.add("robot", **changed)

    async def run(self, period_s: float) -> None:
        """Look again and again until cancelled."""
        while True:
            self.note()
            await asyncio.sleep(period_s)


async def play(rig: Rig, request: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Play the scenario of `request` and return what the loop and the robot did.

    Raises:
        ScenarioError: the robot did not get ready, an event could not be caused, or it did not end as expected.
    """
    scenario = Scenario.model_validate(request["scenario"])
    await rig.ready()
    disk = FaultyDisk() if any(isinstance(event, DiskSlow | DiskFails) for event in scenario.event) else None
    async with AsyncExitStack() as stack:
        hub_url = await stack.enter_async_context(rig.fleet()) if scenario.fleet else None
        model = LocalModel() if any(isinstance(event, AskModel) for event in scenario.event) else None
        if model is not None:
            await model.prepare()
        await rig.deploy(scenario.controller)
        core = await stack.enter_async_context(await CoreClient.connect(rig.run_directory))
        safety = await stack.enter_async_context(await SafetyClient.connect(rig.run_directory))
        robot = str((await core.status())["robot_id"])
        if hub_url is not None:
            await _join(hub_url, robot)
        await arm(core)
        layout = await load_layout()
        segment = stack.enter_context(contextlib.closing(await core.segment(layout)))
        latch = stack.enter_context(contextlib.closing(await safety.segment(layout)))
        figures = LoopFigures(segment, layout)
        processor = ProcessorTime()
        log = Log(report)
        watch = Watch(segment, latch, layout, log)
        watching = asyncio.create_task(watch.run(scenario.watch_ms / 1000))
        stack.callback(watching.cancel)
        log.add("start")
        tasks = await _play_events(scenario, actions.Scene(rig, core, safety, robot, log, disk, model))
        if (left_s := scenario.seconds - log.now_s) > 0:
            await asyncio.sleep(left_s)
        watch.note()
        watching.cancel()
        log.add("end")
        result = {"shows": scenario.shows, **figures.until_now(), "processor": processor.shares()}
        report.line(histograms=figures.histograms())
        status, stop = await core.status(), await safety.status()
        result |= {
            "mode": status["mode"],
            "stopped": status["stopped"],
            "controller": (status["controller"] or {}).get("state", "none"),
            "cause": stop["cause"] if stop["latched"] else "none",
            "events": log.events,
        }
        if model is not None:
            result |= {"model": model.stands, "model_asked": model.asked, "model_answered": model.answered}
        if hub_url is not None:
            await rig.set_link(up=True)
            result["fleet"] = await _account(hub_url, robot, int(status["boot_id"]), tasks)
    _judge(result, scenario.expect)
    return result


async def _join(hub_url: str, robot: str) -> dict[str, Any]:
    """Wait until the robot is a member of the fleet, have it gathered from, and return its status."""

    async def member() -> bool:
        return await is_ready(hub_url, robot)

    await until("the robot is a member of the fleet", member, _POLL_S, _PATIENCE_S)
    return (await gather(hub_url, robot))[0]


def timetable(scenario: Scenario) -> list[tuple[float, Event]]:
    """Return what happens when, in order; at one moment in the order of the file."""
    moments: list[tuple[float, Event]] = []
    for event in scenario.event:
        times = [event.at_s]
        if event.every_s is not None:
            times = [float(at) for at in np.arange(event.at_s, scenario.seconds, event.every_s)]
        moments += [(at_s, event) for at_s in times]
    return sorted(moments, key=lambda moment: moment[0])


async def _play_events(scenario: Scenario, scene: actions.Scene) -> list[str]:
    """Cause each event at its time; returns the ids of the tasks that were given."""
    tasks = []
    for number, (at_s, event) in enumerate(timetable(scenario)):
        if (wait_s := at_s - scene.log.now_s) > 0:
            await asyncio.sleep(wait_s)
        scene.log.add(event.do, at_s, by="scenario", **_said(event))
        try:
            if isinstance(event, Task):
                tasks.append(await actions.give_task(scene, f"scenario-{number}", fleet=event.fleet))
            else:
                await actions.cause(scene, event)
        except RefusedError as error:
            if not isinstance(event, Command | Deploy | Inputs):
                raise ScenarioError(f"at {at_s:g} s: {event.do}: {error}") from error
            scene.log.add("refused", why=str(error))  # the robot's answer, and no mistake of the scenario's
        except (HoldfastError, OSError, nats.errors.Error) as error:
            raise ScenarioError(f"at {at_s:g} s: {event.do}: {error}") from error
    await scene.over()
    return tasks


def _said(event: Event) -> dict[str, Any]:
    return event.model_dump(exclude={"at_s", "every_s", "do"}, exclude_none=True)


async def _account(hub_url: str, robot: str, boot: int, tasks: list[str]) -> dict[str, Any]:
    """Wait until the fleet has all that the robot kept for it, and count.

    Raises:
        ScenarioError: something is missing, came twice or out of order.
    """
    status = await _join(hub_url, robot)
    recorded = int(status["worker"]["telemetry"]["sequence"])
    results: list[dict[str, Any]] = []
    telemetry: list[int] = []

    async def all_here() -> bool:
        results[:] = await stream_messages(hub_url, "FLEET_RESULTS", f"holdfast.{robot}.result")
        messages = await stream_messages(hub_url, "FLEET_TELEMETRY", f"holdfast.{robot}.telemetry")
        telemetry[:] = [int(message["seq"]) for message in messages if message["boot_id"] == boot]
        done = {result["id"] for result in results}
        return done >= set(tasks) and bool(telemetry) and telemetry[-1] >= recorded

    try:
        await until("all results and telemetry reach the fleet", all_here, _POLL_S, _PATIENCE_S)
    except ScenarioError as error:
        missing = sorted(set(tasks) - {result["id"] for result in results})
        raise ScenarioError(
            f"{error}; no result of {missing or 'none'}; telemetry up to {telemetry[-1:] or 'none'} of {recorded}"
        ) from None
    counts = Counter(result["id"] for result in results)
    twice = sorted(task for task in tasks if counts[task] != 1)
    failed = sorted(result["id"] for result in results if result["id"] in tasks and not result["ok"])
    gaps = sum(later - earlier != 1 for earlier, later in itertools.pairwise(telemetry))
    if twice or failed or gaps:
        raise ScenarioError(
            f"results that came twice: {twice}; that failed: {failed}; gaps in telemetry: {gaps}"
        )
    return {
        "tasks": len(tasks),
        "results": sum(counts[task] for task in tasks),
        "telemetry": {"first": telemetry[0], "last": telemetry[-1], "received": len(telemetry), "gaps": gaps},
    }


def _judge(result: dict[str, Any], expected: Expected) -> None:
    wanted = expected.model_dump(exclude_none=True, exclude={"fleet"})
    differs = [
        f"{key} is {result[key]!r}, not {value!r}" for key, value in wanted.items() if result[key] != value
    ]
    if differs:
        raise ScenarioError(f"{'; '.join(differs)}; {json.dumps(result)}")
