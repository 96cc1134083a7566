"""`holdfast bench`: proofs on the booted image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from rich.table import Table

from holdfast.command import EXIT_CODES, console, errors, json_option, print_json
from holdfast.errors import HoldfastError
from holdfast_bench import (
    boot,
    data_writes,
    deadlines,
    deadlines_loaded,
    estop,
    estop_1000,
    offline,
    power_cut,
    safety_lines,
    tick,
    update_cut,
    update_writes,
)
from holdfast_bench.bench_file import BenchFile, default_bench, load_bench_file
from holdfast_bench.open_bench import open_bench
from holdfast_bench.play_scenario import needs, play_real, play_virtual
from holdfast_bench.probe.driver import Probe
from holdfast_bench.probe.errors import ProbeError
from holdfast_bench.report.cli import compare, report
from holdfast_bench.result import BenchError, failure_kept, write_result
from holdfast_bench.scenarios import find_scenario, scenario_files
from holdfast_bench.vm_bench import VmBench
from holdfast_image.build import repository_root
from holdfast_image.errors import ImageError

Result = dict[str, Any]


@dataclass(frozen=True)
class Length:
    """How much of a scenario is run; None: what it was made for."""

    seconds: int | None
    trials: int | None
    count: int | None
    seed: int
    enable_line: bool


@dataclass(frozen=True)
class Scenario:
    """One proof: what it shows and how it is run."""

    shows: str
    real_time: Callable[[BenchFile, Length], Result] | None = None
    virtual_time: Callable[[Length], Result] | None = None
    needs: frozenset[str] = frozenset()
    """What the bench must offer in real time, besides a booted robot."""
    options: frozenset[str] = frozenset()
    """Which parts of `Length` it goes by; another one is refused."""
    on_robot: bool = True
    """False: it runs on this machine, whatever the bench."""

    @property
    def clocks(self) -> list[str]:
        """What it can run on: "virtual", "real"."""
        return [clock for clock, run in (("virtual", self.virtual_time), ("real", self.real_time)) if run]


def _on_machine(run: Callable[[VmBench, Length], Result]) -> Callable[[BenchFile, Length], Result]:
    def booted(chosen: BenchFile, length: Length) -> Result:
        with open_bench(chosen) as bench:
            if not isinstance(bench, VmBench):
                raise BenchError(f"this scenario needs a fleet's hub, and the bench {chosen.name} has none")
            return run(bench, length)

    return booted


def _found(name: str) -> Scenario:
    """Return the scenario with a name, or that of a file.

    Raises:
        click.UsageError: there is none, or no checkout of which it could run anything.
    """
    try:
        repository_root()
        return SCENARIOS.get(name) or _from_file(name)
    except (BenchError, ImageError) as error:
        raise click.UsageError(str(error)) from error


def _require_used(name: str, scenario: Scenario) -> None:
    """Refuse an option that was given and changes nothing.

    Raises:
        click.UsageError: names the option and the scenarios that it is for.
    """
    context = click.get_current_context()
    if not scenario.on_robot and context.params["bench_file"]:
        raise click.UsageError(
            f"--bench means nothing to {name}, which runs here; leave it out (it is for scenarios on a robot)"
        )
    for option in (part.name for part in fields(Length)):
        if (
            context.get_parameter_source(option) is ParameterSource.COMMANDLINE
            and option not in scenario.options
        ):
            users = ", ".join(other for other, each in SCENARIOS.items() if option in each.options)
            raise click.UsageError(
                f"--{option.replace('_', '-')} means nothing to {name}; leave it out (it is for {users})"
            )


def _from_file(name: str) -> Scenario:
    stem, scenario = find_scenario(name)
    return Scenario(
        scenario.shows,
        lambda chosen, _: play_real(chosen, stem, scenario),
        lambda _: play_virtual(stem, scenario),
        needs(scenario),
    )


def _boot(chosen: BenchFile, count: int) -> Result:
    with open_bench(chosen) as bench:
        return boot.run(bench, count)


_DEADLINES_S = 60
SCENARIOS = {
    boot.NAME: Scenario(
        "from the start of the kernel until the loop runs, memory in use, and what the boot waits for",
        lambda chosen, length: _boot(chosen, length.count or boot.COUNT),
        options=frozenset({"count"}),
    ),
    deadlines.NAME: Scenario(
        "1 kHz loop with a controller under load: missed deadlines, latencies",
        virtual_time=lambda length: deadlines.run(length.seconds or _DEADLINES_S),
        options=frozenset({"seconds"}),
    ),
    deadlines_loaded.NAME: Scenario(
        "the same with 12 drives in motion and CPU, memory, disk and network loaded, 600 s",
        virtual_time=lambda length: deadlines_loaded.run(length.seconds or deadlines_loaded.SECONDS),
        options=frozenset({"seconds"}),
    ),
    estop_1000.NAME: Scenario(
        "1,000 stops of each path at random phases: reaction times at the drives",
        virtual_time=lambda length: estop_1000.run(
            length.trials or estop_1000.TRIALS, length.seed, enable_line=length.enable_line
        ),
        options=frozenset({"trials", "seed", "enable_line"}),
    ),
    "offline": Scenario(
        "the fleet's link is cut: nothing stops, nothing is lost",
        _on_machine(lambda bench, _: offline.run(bench)),
        needs=frozenset({"links", "fleet", "simulated-drives"}),
    ),
    "estop": Scenario(
        "every way into a latched stop, with a power cut after each",
        _on_machine(lambda bench, _: estop.run(bench)),
        needs=frozenset({"fleet", "simulated-drives"}),
    ),
    "safety-lines": Scenario(
        "contacts of the e-stop, enable line and hardware watchdog (gpio-sim, softdog)",
        _on_machine(lambda bench, _: safety_lines.run(bench)),
        needs=frozenset({"fleet", "simulated-drives", "gpio-sim"}),
    ),
    "tick": Scenario(
        "cost of a controller's tick and of the loop's cycle, plotted: build/bench.json",
        lambda _chosen, _length: tick.run(),
        on_robot=False,
    ),
    power_cut.NAME: Scenario(
        "200 power cuts while writing, deploying and booting: it always boots and loses nothing acknowledged",
        _on_machine(lambda bench, length: power_cut.run(bench, length.count or power_cut.COUNT, length.seed)),
        needs=frozenset({"fleet"}),
        options=frozenset({"count", "seed"}),
    ),
    data_writes.NAME: Scenario(
        "after any write to the data partition, in the drive's order or another, nothing acknowledged is lost",
        lambda chosen, length: data_writes.run(chosen.board, length.count or data_writes.COUNT, length.seed),
        needs=frozenset({"fresh-machine", "fleet"}),
        options=frozenset({"count", "seed"}),
    ),
    update_cut.NAME: Scenario(
        "100 power cuts while a new version is installed and starts: it always boots a complete one",
        lambda chosen, length: update_cut.run(
            lambda: open_bench(chosen), length.count or update_cut.COUNT, length.seed
        ),
        needs=frozenset({"fresh-machine"}),
        options=frozenset({"count", "seed"}),
    ),
    update_writes.NAME: Scenario(
        "after any write of an update, in the drive's order or another, a boot loader finds only whole versions",
        lambda chosen, length: update_writes.run(chosen.board, length.seed),
        needs=frozenset({"fresh-machine"}),
        options=frozenset({"seed"}),
    ),
}


def _fail(name: str, error: Exception, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"ok": False, "error": str(error)})
    else:
        errors.print(f"[red]error:[/red] {name}: ", end="")
        errors.print(str(error), markup=False, soft_wrap=True)
    sys.exit(1)


def _refuse(error: click.UsageError, as_json: bool) -> NoReturn:
    """End the program as click does for wrong usage, or with JSON, which click has not."""
    if not as_json:
        raise error
    print_json({"ok": False, "error": error.message})
    sys.exit(error.exit_code)


@click.group(epilog=EXIT_CODES)
def bench() -> None:
    """Run the hardware-in-the-loop scenarios.

    Example: holdfast bench run deadlines --virtual-time
    """


bench.add_command(report)
bench.add_command(compare)


@bench.command(name="list", epilog=EXIT_CODES)
@json_option
def list_(as_json: bool) -> None:
    """List the scenarios and the clock each one runs on.

    Example: holdfast bench list
    """
    try:
        scenarios = SCENARIOS | {name: _from_file(name) for name in scenario_files()}
    except (BenchError, ImageError) as error:
        _refuse(click.UsageError(str(error)), as_json)
    if as_json:
        print_json({"scenarios": {n: {"shows": s.shows, "clocks": s.clocks} for n, s in scenarios.items()}})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, scenario in scenarios.items():
        table.add_row(name, " or ".join(scenario.clocks) + " time", scenario.shows)
    console.print(table)


@bench.command(name="run", epilog=EXIT_CODES)
@click.argument("name", metavar="NAME|FILE.toml")
@click.option(
    "--virtual-time",
    is_flag=True,
    help="The guest's clock counts instructions: exact deadlines, on any machine.",
)
@click.option(
    "--bench",
    "bench_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Bench file: the robot and its clock; hil_tests/benches/virtual.toml by default.",
)
@click.option(
    "--seconds",
    type=click.IntRange(min=1),
    help="Length of a deadlines scenario; 60, or 600 with 12 drives, by default.",
)
@click.option(
    "--trials", type=click.IntRange(min=1), help="Trials of each path of estop-1000; 1000 by default."
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Cuts of power-cut or update-cut, 200 or 100 by default, each with the seed after the last one's; "
    "states of data-writes, 200; boots of boot, 3.",
)
@click.option(
    "--seed", default=estop_1000.SEED, show_default=True, help="Seed of what a scenario draws at random."
)
@click.option(
    "--enable-line",
    is_flag=True,
    help="estop-1000: with a simulated enable line (gpio-sim) as a third path.",
)
@json_option
def run_(
    name: str,
    virtual_time: bool,
    bench_file: Path | None,
    seconds: int | None,
    trials: int | None,
    count: int | None,
    seed: int,
    enable_line: bool,
    as_json: bool,
) -> None:
    """Run a scenario (`holdfast bench list`), or a file of your own; write build/bench/NAME/result.json.

    Example: holdfast bench run deadlines --virtual-time --seconds 60
    """
    try:
        scenario = _found(name)
        _require_used(name, scenario)
        name = Path(name).stem
        length = Length(seconds, trials, count, seed, enable_line)
        chosen = load_bench_file(bench_file or default_bench())
        virtual_time = virtual_time or chosen.clock == "virtual"
        chosen.require(frozenset({"virtual-time"}) if virtual_time else scenario.needs, name)
        header: Result = {"scenario": name, "clock": "virtual" if virtual_time else "real"}
        if scenario.on_robot:
            header |= chosen.described(virtual_time=virtual_time)
        if virtual_time:
            if scenario.virtual_time is None:
                raise click.UsageError(f"{name} runs in real time only; leave out --virtual-time")
            with failure_kept(name, header):
                result = scenario.virtual_time(length)
        else:
            if scenario.real_time is None:
                raise click.UsageError(f"{name} means nothing in an emulator's real time; add --virtual-time")
            with failure_kept(name, header):
                result = scenario.real_time(chosen, length)
    except click.UsageError as error:
        _refuse(error, as_json)
    except (BenchError, HoldfastError, ImageError) as error:
        _fail(name, error, as_json)
    result = header | result
    path = write_result(name, result)
    if as_json:
        print_json(result)
    else:
        console.print_json(data=result)
        console.print(f"written to {path}")


@bench.command(name="probe", epilog=EXIT_CODES)
@click.option(
    "--port", required=True, help="Its serial port: /dev/ttyACM0, or better a name below /dev/serial/by-id."
)
@json_option
def probe_(port: str, as_json: bool) -> None:
    """Show which probe answers at a port, and the levels that it sees.

    It refuses another firmware than this tree's. While it asks, the e-stop contact is open and the robot has power.

    Example: holdfast bench probe --port /dev/ttyACM0
    """
    try:
        with Probe(port) as probe:
            found, levels = asdict(probe.identity), probe.read()
    except ProbeError as error:
        _fail("probe", error, as_json)
    if as_json:
        print_json({"port": port, **found, "levels": levels})
        return
    console.print(
        f"firmware {found['version']}, protocol {found['protocol']}, one count {found['tick_ns']} ns"
    )
    console.print(f"hash     {found['hash']}")
    for name, level in levels.items():
        console.print(f"{name:10} {int(level)}")
