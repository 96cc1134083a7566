"""Scenario `deadlines`: the whole image in virtual time, the loop under load."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress

from holdfast.command import errors as terminal
from holdfast_bench.qemu import run_virtual
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_image.build import build_image, repository_root

_BOOT_S = 45
"""Virtual seconds from power-on to the scenario's end that are not its own; only the progress bar needs them."""


def run(seconds: int) -> dict[str, Any]:
    """Boot the image in virtual time, let guest/__main__.py run the scenario, and return what it measured.

    Raises:
        BenchError: the guest reported an error, or nothing.
    """
    image = build_image(repository_root())
    with Progress(console=terminal) as progress:
        task = progress.add_task(
            f"deadlines: {seconds} virtual seconds and the boot", total=seconds + _BOOT_S
        )
        done = run_virtual(
            image,
            {"name": "deadlines", "seconds": seconds},
            directory=scenario_directory("deadlines"),
            on_clock=lambda clock_s: progress.update(task, completed=clock_s),
        )
    for line in done.lines:
        if "error" in line:
            raise BenchError(f"in the guest: {line['error']}")
        if "result" in line:
            return {**line["result"], "virtual_s": done.virtual_s, "real_s": round(done.real_s, 1)}
    raise BenchError(f"the guest ended without a result; see {scenario_directory('deadlines')}")
