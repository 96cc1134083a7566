"""`holdfast bench`: proofs on the booted image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from holdfast.command import EXIT_CODES, console, errors, json_option, print_json
from holdfast.errors import HoldfastError
from holdfast_bench import deadlines, deadlines_loaded, estop, estop_1000, offline, safety_lines, tick
from holdfast_bench.bench_file import BenchFile, default_bench, load_bench_file
from holdfast_bench.open_bench import open_bench
from holdfast_bench.result import BenchError, write_result
from holdfast_bench.vm_bench import VmBench
from holdfast_image.errors import ImageError

Result = dict[str, Any]


@dataclass(frozen=True)
class Length:
    """How much of a scenario in virtual time is run; None: what it was made for."""

    seconds: int | None
    trials: int | None
    seed: int
    enable_line: bool


@dataclass(frozen=True)
class Scenario:
    """One proof: what it shows and how it is run."""

    shows: str
    real_time: Callable[[BenchFile], Result] | None = None
    virtual_time: Callable[[Length], Result] | None = None

    needs: frozenset[str] = frozenset()
    """What the bench must offer besides a booted robot."""


def _on_machine(run: Callable[[VmBench], Result]) -> Callable[[BenchFile], Result]:
    def booted(chosen: BenchFile) -> Result:
        with open_bench(chosen) as bench:
            if not isinstance(bench, VmBench):
                raise BenchError(f"this scenario needs a fleet's hub, and the bench {chosen.name} has none")
            return run(bench)

    return booted


def _chosen(file: Path | None, name: str, virtual_time: bool) -> tuple[BenchFile, bool]:
    """Return the bench and whether its clock is the guest's."""
    chosen = load_bench_file(file or default_bench())
    virtual = virtual_time or chosen.clock == "virtual"
    needed = {"virtual-time"} if virtual else SCENARIOS[name].needs
    if lacking := chosen.lacks(frozenset(needed)):
        raise BenchError(f"the bench {chosen.name} does not offer {', '.join(lacking)}, which {name} needs")
    return chosen, virtual


_DEADLINES_S = 60
SCENARIOS = {
    "deadlines": Scenario(
        "1 kHz loop with a controller under load: missed deadlines, latencies",
        virtual_time=lambda length: deadlines.run(length.seconds or _DEADLINES_S),
    ),
    deadlines_loaded.NAME: Scenario(
        "the same with 12 drives in motion and CPU, memory, disk and network loaded, 600 s",
        virtual_time=lambda length: deadlines_loaded.run(length.seconds or deadlines_loaded.SECONDS),
    ),
    estop_1000.NAME: Scenario(
        "1,000 stops of each path at random phases: reaction times at the drives",
        virtual_time=lambda length: estop_1000.run(
            length.trials or estop_1000.TRIALS, length.seed, enable_line=length.enable_line
        ),
    ),
    "offline": Scenario(
        "the fleet's link is cut: nothing stops, nothing is lost",
        _on_machine(offline.run),
        needs=frozenset({"links", "fleet", "simulated-drives"}),
    ),
    "estop": Scenario(
        "every way into a latched stop, with a power cut after each",
        _on_machine(estop.run),
        needs=frozenset({"fleet", "simulated-drives"}),
    ),
    "safety-lines": Scenario(
        "contacts of the e-stop, enable line and hardware watchdog (gpio-sim, softdog)",
        _on_machine(safety_lines.run),
        needs=frozenset({"fleet", "simulated-drives", "gpio-sim"}),
    ),
    "tick": Scenario(
        "cost of a controller's tick and of the loop's cycle, plotted: build/bench.json", lambda _: tick.run()
    ),
}


@click.group(epilog=EXIT_CODES)
def bench() -> None:
    """Run the hardware-in-the-loop scenarios.

    Example: holdfast bench run deadlines --virtual-time
    """


@bench.command(name="list", epilog=EXIT_CODES)
@json_option
def list_(as_json: bool) -> None:
    """List the scenarios and the clock each one runs on.

    Example: holdfast bench list
    """
    clocks = {name: "virtual" if s.virtual_time else "real" for name, s in SCENARIOS.items()}
    if as_json:
        print_json({"scenarios": {n: {"shows": SCENARIOS[n].shows, "clock": c} for n, c in clocks.items()}})
        return
    for name, clock in clocks.items():
        console.print(f"{name:16} {clock + ' time':14} {SCENARIOS[name].shows}")


@bench.command(name="run", epilog=EXIT_CODES)
@click.argument("name", type=click.Choice(sorted(SCENARIOS)))
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
    seed: int,
    enable_line: bool,
    as_json: bool,
) -> None:
    """Run a scenario and write build/bench/NAME/result.json.

    Example: holdfast bench run deadlines --virtual-time --seconds 60
    """
    scenario = SCENARIOS[name]
    try:
        chosen, virtual_time = _chosen(bench_file, name, virtual_time)
        if virtual_time and scenario.virtual_time is None:
            raise click.UsageError(f"{name} runs in real time only; leave out --virtual-time")
        if not virtual_time and scenario.real_time is None:
            raise click.UsageError(
                f"{name} means nothing in an emulator's real time; add --virtual-time (a board runs it in real time)"
            )
        if virtual_time and scenario.virtual_time:
            result = scenario.virtual_time(Length(seconds, trials, seed, enable_line))
        else:
            assert scenario.real_time is not None  # noqa: S101 - refused above
            result = scenario.real_time(chosen)
    except (BenchError, HoldfastError, ImageError) as error:
        if as_json:
            print_json({"ok": False, "error": str(error)})
        else:
            errors.print(f"[red]error:[/red] {name}: ", end="")
            errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(1)
    result = {"scenario": name, "clock": "virtual" if virtual_time else "real", **result}
    path = write_result(name, result)
    if as_json:
        print_json(result)
    else:
        console.print_json(data=result)
        console.print(f"written to {path}")
