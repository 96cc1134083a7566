"""Scenario `estop-1000`: the reaction time of each path of a stop at random phases, the whole distribution kept.

Runs in virtual time on the differential drive; leaves trials.csv, reaction.png and reaction.svg beside result.json.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from holdfast.session import env_lines
from holdfast_bench.guest.gpio_sim import ENABLE_LEVEL, ENABLE_LINE, line_name
from holdfast_bench.plots import plot_reactions
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_bench.virtual_scenario import example_robot, run_in_guest

NAME = "estop-1000"
TRIALS = 1000
SEED = 1
_TRIAL_S = 1.0
"""About how long one trial of every path takes on the guest's clock, recovery included."""

_ENVIRONMENT = {
    "HOLDFAST_SAFETY__ENABLE_LINE": line_name(ENABLE_LINE),
    "HOLDFAST_SAFETY__ENABLE_DROP_DELAY_MS": "0",
    "HOLDFAST_PLANT_ENABLE_LINE": str(ENABLE_LEVEL),
}
_ENABLE_LINE = {
    "holdfast.gpio-sim": "1",
    "holdfast.env": env_lines(_ENVIRONMENT),
}

Trial = dict[str, Any]


def run(trials: int = TRIALS, seed: int = SEED, *, enable_line: bool = False) -> dict[str, Any]:
    """Run `trials` of each path and keep every sample; the enable line is a path where the guest's kernel has gpio-sim.

    Raises:
        BenchError: the guest reported an error, or lost a sample.
    """
    samples: list[Trial] = []

    def keep(line: dict[str, Any]) -> None:
        if "trial" in line:
            samples.append(line["trial"])

    result = run_in_guest(
        {"name": NAME, "trials": trials, "seed": seed},
        name=NAME,
        virtual_s=round(trials * _TRIAL_S),
        limit_s=1800.0 + 10 * trials,
        credentials={**example_robot("diff_drive.toml"), **(_ENABLE_LINE if enable_line else {})},
        on_line=keep,
    )
    return {**result, **keep_samples(samples, result, scenario_directory(NAME))}


def keep_samples(samples: list[Trial], result: dict[str, Any], directory: Path) -> dict[str, str]:
    """Write the trials as CSV and plot them; returns the files by what they hold.

    Raises:
        BenchError: there are fewer samples of a path than trials.
    """
    reactions: dict[str, list[float]] = {}
    for sample in samples:
        reactions.setdefault(str(sample["path"]), []).append(float(sample["reaction_us"]))
    for name, path in result["paths"].items():
        if len(reactions.get(name, [])) != path["trials"]:
            raise BenchError(
                f"{len(reactions.get(name, []))} samples of the path {name}, but {path['trials']} trials"
            )
    table = directory / "trials.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["number", "path", "phase_us", "reaction_us"])
        writer.writeheader()
        writer.writerows(samples)
    limits = {name: float(path["limit_us"]) for name, path in result["paths"].items()}
    plots = plot_reactions(reactions, limits, directory)
    return {"samples": str(table), "plot": str(plots[0])}
