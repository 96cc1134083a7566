"""Scenarios inside the guest: `python -m holdfast_bench.guest`, started by holdfast-scenario.service.

In virtual time nothing can come from outside (the guest's clock does not wait), so the whole scenario is here.
It reads its parameters from the credential `holdfast.scenario`, a JSON object {"name", ...}, and writes JSON
lines to the virtio port `holdfast.result`. The last line is {"result": {...}} or {"error": "..."}.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.layout import Layout, SegmentReader, load_layout, summarise
from holdfast.places import run_directory
from holdfast.status import missed_deadlines

RESULT_PORT = Path("/dev/virtio-ports/holdfast.result")
CONTROLLER = Path("/usr/share/holdfast/controllers/sine.wat")
LOAD = ("stress-ng", "--cpu", "1", "--vm", "1", "--vm-bytes", "64M", "--hdd", "1", "--hdd-bytes", "64M")
_SCRATCH = "/var/tmp"  # noqa: S108 - a disk, in a bench image
_POLL_S = 5.0
_READY_POLLS = 60
_HISTOGRAMS = ("wake", "cycle", "controller")


class ScenarioError(Exception):
    """The robot did not do what the scenario needs; the message says what was seen."""


class Reporter:
    """Writes JSON lines to whoever started the guest."""

    def __init__(self, port: TextIO) -> None:
        self._port = port

    def line(self, **fields: Any) -> None:
        """Write one line at once, with the guest's clock: the kernel's messages show it only while it boots."""
        self._port.write(json.dumps({"clock_s": round(time.monotonic(), 3), **fields}) + "\n")
        self._port.flush()


@contextmanager
def load_beside() -> Iterator[None]:
    """Keep CPU, memory and disk busy with stress-ng."""
    process = subprocess.Popen(LOAD, cwd=_SCRATCH, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise ScenarioError(
                f"stress-ng ended by itself with code {process.returncode}: there was no load"
            )
    finally:
        process.terminate()
        process.wait()


async def _robot_ready() -> None:
    """Wait for holdfast.target.

    Raises:
        ScenarioError: it was not reached; names what was still to come.
    """
    for _ in range(_READY_POLLS):
        if _systemctl("is-active", "holdfast.target") == "active":
            return
        await asyncio.sleep(_POLL_S)
    raise ScenarioError(
        f"holdfast.target was not reached in {_READY_POLLS * _POLL_S:.0f} s; failed units: "
        f"{_systemctl('list-units', '--failed', '--plain', '--no-legend')}; waiting: "
        f"{_systemctl('list-jobs', '--no-legend')}"
    )


def _systemctl(*arguments: str) -> str:
    return subprocess.run(
        ("systemctl", *arguments), capture_output=True, text=True, check=False
    ).stdout.strip()


def _holdfast(*arguments: str) -> None:
    """Use the CLI as a person on the robot would."""
    done = subprocess.run(
        ("holdfast", *arguments),
        env={**os.environ, "HOLDFAST_ROBOT": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ScenarioError(f"holdfast {' '.join(arguments)}: {done.stdout.strip()} {done.stderr.strip()}")


def _differences(names: list[str], before: NDArray[Any], after: NDArray[Any]) -> dict[str, int]:
    return {name: int(after[index]) - int(before[index]) for index, name in enumerate(names)}


def _summary(bins: NDArray[np.uint64]) -> dict[str, float | None]:
    """Percentiles of an interval; its maximum is the upper edge of the highest bin that was hit."""
    hit = np.flatnonzero(bins)
    return summarise(bins, (int(hit[-1]) + 1) * 1000 if len(hit) else 0).as_dict()


async def _cycles_reached(segment: SegmentReader, cycle: int, report: Reporter) -> None:
    while (now := int(segment.read()["cycle"])) < cycle:
        report.line(event="progress", cycle=now, until=cycle)
        await asyncio.sleep(_POLL_S)


async def deadlines(seconds: int, report: Reporter) -> dict[str, Any]:
    """Run the sine controller under load for `seconds` and count what Tier-1 missed.

    Returns cycles, missed, and wake-up latency, cycle time and controller time of that interval in µs
    (upper edges
    of 1 µs bins).
    """
    await _robot_ready()
    layout: Layout = await load_layout()
    _holdfast("robot", "deploy", str(CONTROLLER), "--json")
    _holdfast("robot", "arm", "--json")
    async with (
        await CoreClient.connect(run_directory()) as core,
        await SafetyClient.connect(run_directory()) as safety,
    ):
        segment = await core.segment(layout)
        with load_beside():
            start = segment.read().copy()
            start_bins = {name: segment.bins(name) for name in _HISTOGRAMS}
            report.line(event="start", cycle=int(start["cycle"]))
            await _cycles_reached(segment, int(start["cycle"]) + seconds * 1000, report)
            end = segment.read().copy()
            end_bins = {name: segment.bins(name) for name in _HISTOGRAMS}
        status = await core.status()
        latch = await safety.status()
    counted = _differences(layout.counter_names, start["counters"], end["counters"])
    histograms = {name: _summary(end_bins[name] - start_bins[name]) for name in _HISTOGRAMS}
    return {
        "cycles": int(end["cycle"]) - int(start["cycle"]),
        "missed": missed_deadlines(counted),
        "wake_us": histograms["wake"],
        "cycle_us": histograms["cycle"],
        "controller_us": histograms["controller"],
        "controller": status["controller"],
        "mode": status["mode"],
        "realtime": status["realtime"],
        "latched": latch["latched"],
        "counters": {name: value for name, value in counted.items() if value},
        "load": " ".join(LOAD),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
    }


SCENARIOS = {"deadlines": deadlines}


def main() -> int:
    """Run the scenario that the credential names; 0 if it ran to its end."""
    with RESULT_PORT.open("w") as port:
        report = Reporter(port)
        try:
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                raise ScenarioError(
                    "there is no credential directory; start me from holdfast-scenario.service"
                )
            request = json.loads((Path(directory) / "holdfast.scenario").read_text())
            scenario = SCENARIOS.get(request.get("name"))
            if scenario is None:
                raise ScenarioError(
                    f"no scenario {request.get('name')!r} here; there are {', '.join(SCENARIOS)}"
                )
            report.line(result=asyncio.run(scenario(int(request["seconds"]), report)))
        except Exception as error:
            # Whoever started the guest has no other way to learn of it.
            report.line(error=f"{type(error).__name__}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
