"""Scenario `deadlines`: the whole image in virtual time, the loop under load."""

from __future__ import annotations

from typing import Any

from holdfast_bench.virtual_scenario import run_in_guest

NAME = "deadlines"


def run(seconds: int) -> dict[str, Any]:
    """Boot the image in virtual time, let guest/deadlines.py run the scenario, and return what it measured.

    Raises:
        BenchError: the guest reported an error, or nothing.
    """
    return run_in_guest(
        {"name": NAME, "seconds": seconds},
        name=NAME,
        virtual_s=seconds,
        limit_s=1800.0 + 10 * seconds,
        drive=True,
    )
