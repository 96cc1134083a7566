"""Scenario `deadlines-loaded`: the quadruped's twelve drives in motion; CPU, memory, disk and network loaded.

Leaves timing.csv beside result.json.
"""

from __future__ import annotations

from typing import Any

from holdfast_bench.result import scenario_directory
from holdfast_bench.timing import keep_timing
from holdfast_bench.virtual_scenario import example_robot, run_in_guest

NAME = "deadlines-loaded"
SECONDS = 600


def run(seconds: int = SECONDS) -> dict[str, Any]:
    """Boot the image as the quadruped in virtual time and return what guest/deadlines.py measured.

    Raises:
        BenchError: the guest reported an error, or no result, or no histograms.
    """
    lines: list[dict[str, Any]] = []
    result = run_in_guest(
        {"name": NAME, "seconds": seconds},
        virtual_s=seconds,
        limit_s=1800.0 + 20 * seconds,
        credentials=example_robot("quadruped.toml"),
        on_line=lines.append,
    )
    return {**result, **keep_timing(lines, scenario_directory(NAME))}
