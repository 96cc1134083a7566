"""Scenario `deadlines`: the whole image in virtual time, the loop under load; leaves timing.csv beside result.json."""

from __future__ import annotations

from typing import Any

from holdfast_bench.result import scenario_directory
from holdfast_bench.timing import keep_timing
from holdfast_bench.virtual_scenario import run_in_guest

NAME = "deadlines"


def run(seconds: int) -> dict[str, Any]:
    """Boot the image in virtual time, let guest/deadlines.py run the scenario, and return what it measured.

    Raises:
        BenchError: the guest reported an error, or no result, or no histograms.
    """
    lines: list[dict[str, Any]] = []
    result = run_in_guest(
        {"name": NAME, "seconds": seconds},
        virtual_s=seconds,
        limit_s=1800.0 + 10 * seconds,
        on_line=lines.append,
    )
    return {**result, **keep_timing(lines, scenario_directory(NAME))}
