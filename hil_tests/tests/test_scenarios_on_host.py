"""The bodies of the virtual-time scenarios on real processes of this machine, with few trials.

Such a machine keeps no deadlines, so nothing here judges a figure: what is proved is that the figures are measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.layout import load_layout
from holdfast.modes import FOLLOWING
from holdfast.seqpacket import Connection
from holdfast.session import RELAXED
from holdfast.status import PHASES
from holdfast_bench import estop_1000
from holdfast_bench.guest.__main__ import SCENARIOS, run
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.deadlines import measure_loop
from holdfast_bench.guest.estop_trials import Trials, by_drive, figures, first_changes
from holdfast_bench.guest.gpio_sim import LABEL, LINES, make_chip
from holdfast_bench.guest.scenario import Reporter, Rig, until
from holdfast_bench.result import BenchError
from holdfast_bench.timing import keep_timing, read_timing

CORE_TIMEOUT_US = (float(RELAXED["HOLDFAST_SAFETY__CORE_TIMEOUT_MS"]) - 2) * 1000.0
REPOSITORY = Path(__file__).resolve().parents[2]
IDLE_LOAD = (sys.executable, "-c", "import time; time.sleep(3600)")

Body = Callable[[Rig], Awaitable[None]]


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_stops_are_measured_at_the_drives(on_robot: Callable[[str, Body], None], tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        said = io.StringIO()
        result = await run({"name": "estop-1000", "trials": 3, "seed": 5}, rig, Reporter(said))
        trials = [line["trial"] for line in lines_of(said)]
        assert [trial["path"] for trial in trials] == ["flag", "bus"] * 3
        phases = random.Random(5)  # noqa: S311
        assert [t["phase_us"] for t in trials] == [
            pytest.approx(phases.uniform(0.0, 10_000.0), abs=0.1) for _ in trials
        ]
        for trial in trials:
            # Nothing arrives before its cause: the flag, or the end of the silence that the daemon waits for.
            least_us = 0.0 if trial["path"] == "flag" else CORE_TIMEOUT_US
            assert trial["reaction_us"] >= least_us
        assert result["paths"]["bus"]["trials"] == 3
        assert result["paths"]["bus"]["over_limit"] == 3, "this daemon waits longer than the limit"
        assert result["enable_line"] == "not configured"

        kept = estop_1000.keep_samples(trials, result, tmp_path)
        with Path(kept["samples"]).open() as table:
            assert [row["path"] for row in csv.DictReader(table)] == ["flag", "bus"] * 3
        assert Path(kept["plot"]).read_bytes().startswith(b"\x89PNG")
        with pytest.raises(BenchError, match="2 samples of the path bus"):
            estop_1000.keep_samples(trials[:-1], result, tmp_path)

    on_robot("diff_drive", body)


async def slow_down(core: CoreClient, plant: Connection) -> None:
    """Pause, and wait until every drive was told less than it turned at: the core answers before it tells them."""
    steady_ns = time.monotonic_ns()
    await core.pause()

    async def told() -> bool:
        reply = await plant.request({"op": "frames", "since_ns": steady_ns, "until_ns": time.monotonic_ns()})
        heard = by_drive(reply["frames"])
        return bool(heard) and all(len({value for _, value in frames}) > 1 for frames in heard.values())

    await until("every drive is told to slow down", told, 0.002, 120.0)


@contextlib.asynccontextmanager
async def silence(core_pid: int, plant: Connection) -> AsyncIterator[None]:
    """Stop the core, as a host that stalls does, until the drives have heard nothing for 50 ms."""
    os.kill(core_pid, signal.SIGSTOP)

    async def silent() -> bool:
        now_ns = time.monotonic_ns()
        reply = await plant.request({"op": "frames", "since_ns": now_ns - 50_000_000, "until_ns": now_ns})
        return not reply["frames"]

    try:
        await until("the drives hear nothing", silent, 0.002, 120.0)
        yield
    finally:
        os.kill(core_pid, signal.SIGCONT)


def test_a_robot_that_slowed_down_before_the_stop_measures_nothing(
    on_robot: Callable[[str, Body], None],
) -> None:
    async def body(rig: Rig) -> None:
        await rig.ready()
        await rig.deploy("cruise.wat")
        async with (
            await CoreClient.connect(rig.run_directory) as core,
            await SafetyClient.connect(rig.run_directory) as safety,
            await Connection.open(rig.run_directory / "plant-control.sock") as plant,
        ):
            trials = Trials(core, safety, plant, await load_layout(), rig.core_pid())
            with contextlib.closing(trials):
                await trials.open()
                for path in (trials.flag, trials.bus):

                    async def after_a_pause(
                        path: Callable[[], Awaitable[float | None]] = path,
                    ) -> float | None:
                        await slow_down(core, plant)
                        async with silence(rig.core_pid(), plant):
                            return await path()

                    assert await trials.once(after_a_pause, 0.0) is None

    on_robot("diff_drive", body)


async def wire(run_directory: Path, line: Path) -> None:
    """Stand in for a daemon's enable line: low as long as a stop is latched."""
    async with await SafetyClient.connect(run_directory) as safety:
        segment = await safety.segment(await load_layout())
        with contextlib.closing(segment):
            while True:
                with line.open("r+") as level:
                    level.write("0" if segment.read()["latch_sequence"] else "1")
                await asyncio.sleep(0.001)


def test_the_enable_line_is_measured_where_there_is_one(
    on_robot: Callable[[str, Body], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = tmp_path / "enable"
    line.write_text("1")
    monkeypatch.setenv("HOLDFAST_PLANT_ENABLE_LINE", str(line))

    async def body(rig: Rig) -> None:
        said = io.StringIO()
        wiring = asyncio.create_task(wire(rig.run_directory, line))
        result = await run({"name": "estop-1000", "trials": 1, "seed": 5}, rig, Reporter(said))
        wiring.cancel()
        await asyncio.gather(wiring, return_exceptions=True)
        assert list(result["paths"]) == ["flag", "bus", "enable"]
        assert result["enable_line"] == "watched"
        assert lines_of(said)[-1]["trial"]["reaction_us"] >= CORE_TIMEOUT_US

    on_robot("diff_drive", body)


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    """What gpio-sim shows of a chip below configfs."""
    chip = tmp_path / "chip"
    (chip / "bank0").mkdir(parents=True)
    (chip / "bank0/chip_name").write_text("gpiochip3\n")
    (chip / "dev_name").write_text("gpio-sim.0\n")
    (chip / "live").write_text("0\n")
    return chip


def test_a_chip_is_made_as_the_kernel_wants_it(chip: Path) -> None:
    lines = make_chip(chip, Path("/sys/devices/platform"))
    assert lines == Path("/sys/devices/platform/gpio-sim.0/gpiochip3")
    assert (chip / "bank0/label").read_text() == LABEL
    assert (chip / "bank0/num_lines").read_text() == str(LINES)
    assert (chip / "live").read_text() == "1"


def test_a_chip_that_is_there_is_left_as_it_is(chip: Path) -> None:
    (chip / "live").write_text("1\n")
    make_chip(chip, Path("/sys/devices/platform"))
    assert not (chip / "bank0/label").exists(), "the kernel refuses to change a live chip"


def test_the_loop_is_measured_with_every_joint_in_motion(
    on_robot: Callable[[str, Body], None], tmp_path: Path
) -> None:
    async def body(rig: Rig) -> None:
        said = io.StringIO()
        result = await measure_loop(rig, "sine_joints.wat", IDLE_LOAD, 2, Reporter(said))
        assert result["cycles"] >= 2000
        assert result["drives"] == 12
        assert result["mode"] in FOLLOWING
        assert result["controller"]["state"] == "running"
        assert result["cycle_us"]["max"] >= result["cycle_us"]["p50"] > 0
        assert lines_of(said)[0]["event"] == "start"
        kept = keep_timing(lines_of(said), tmp_path)
        histograms = read_timing(Path(kept["timing"]))
        assert set(histograms) == {"wake", "cycle", "controller", *PHASES}
        assert sum(histograms["wake"].values()) >= 2000
        assert max(histograms["cycle"]) >= result["cycle_us"]["max"]

        with pytest.raises(ScenarioError, match="there was no load"):
            await measure_loop(rig, "sine_joints.wat", (sys.executable, "-c", ""), 1, Reporter(said))
        with pytest.raises(ScenarioError, match="no scenario 'estop' here"):
            await run({"name": "estop"}, rig, Reporter(said))

    on_robot("quadruped", body)


def test_every_virtual_scenario_has_a_body() -> None:
    from holdfast_bench.cli import SCENARIOS as OFFERED

    assert {name for name, scenario in OFFERED.items() if scenario.virtual_time} | {"play"} == set(SCENARIOS)


def test_only_velocity_inputs_count() -> None:
    frames = [
        [10, "left", 0x0D, 1.0],
        [11, "left", 0x07, 8.0],
        [12, "right", 0x0D, None],
        [13, "left", 0x0D, 0.5],
    ]
    assert by_drive(frames) == {"left": [(10, 1.0), (13, 0.5)]}


def test_the_first_other_value_is_the_stop() -> None:
    heard = {"left": [(10, 1.0), (11, 1.0), (12, 0.99), (13, 0.0)], "right": [(10, -2.0), (11, -2.0)]}
    assert first_changes(heard, {"left": 1.0, "right": -2.0}) == {"left": 12}


def test_a_drive_told_to_go_faster_is_no_stop() -> None:
    with pytest.raises(ScenarioError, match="no way to stop"):
        first_changes({"left": [(10, 1.0), (11, 1.1)]}, {"left": 1.0})


def test_figures_keep_the_slowest_trial() -> None:
    found = figures([float(n) for n in range(1000, 0, -1)], limit_us=998.5)
    assert found["reaction_us"] == {"p50": 500.0, "p99": 990.0, "max": 1000.0}
    assert found["over_limit"] == 2


def test_the_guests_part_needs_nothing_of_the_workstations() -> None:
    """The image holds holdfast_bench.guest and no other part of the bench."""
    folder = REPOSITORY / "hil_tests" / "holdfast_bench" / "guest"
    for file in folder.glob("*.py"):
        for line in file.read_text().splitlines():
            if "import" in line and "holdfast_bench" in line:
                assert "holdfast_bench.guest" in line, f"{file.name}: {line.strip()}"
                assert "holdfast_image" not in line
