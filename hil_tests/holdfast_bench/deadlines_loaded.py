"""Scenario `deadlines-loaded`: the quadruped's twelve drives in motion; CPU, memory, disk and network loaded."""

from __future__ import annotations

from typing import Any

from holdfast_bench.virtual_scenario import example_robot, run_in_guest

NAME = "deadlines-loaded"
SECONDS = 600


def run(seconds: int = SECONDS, sabotage: str | None = None) -> dict[str, Any]:
    """Boot the image as the quadruped in virtual time and return what guest/deadlines.py measured.

    `sabotage` is a mistake that is made first (guest/sabotage.py): the test of the tests.

    Raises:
        BenchError: the guest reported an error, or nothing.
    """
    return run_in_guest(
        {"name": NAME, "seconds": seconds, "sabotage": sabotage},
        name=NAME,
        virtual_s=seconds,
        limit_s=3600.0 + 20 * seconds,
        credentials=example_robot("quadruped.toml"),
        drive=True,
    )
