"""Running one of the guest's scenarios in virtual time: boot, progress, lines as they come, its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import Progress

from holdfast.command import errors as terminal
from holdfast_bench.qemu import run_virtual
from holdfast_bench.result import BenchError, scenario_directory
from holdfast_bench.timing import keep_timing
from holdfast_image.build import build_image, repository_root

BOOT_S = 45
"""Virtual seconds from power-on to the scenario's end that are not its own; only the progress bar needs them."""
_TOLD_EVERY_S = 60.0


def example_robot(name: str) -> dict[str, str]:
    """Return the credentials that make the guest the robot of examples/robots/NAME."""
    file: Path = repository_root() / "examples" / "robots" / name
    return {"holdfast.robot-toml": file.read_text(encoding="utf-8")}


def run_in_guest(
    request: Mapping[str, Any],
    *,
    name: str,
    virtual_s: int,
    limit_s: float,
    credentials: Mapping[str, str] | None = None,
    drive: bool = False,
    with_ollama: bool = False,
    on_line: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any]:
    """Boot the image, let holdfast_bench.guest run the scenario `request["name"]`, and return what it measured.

    `name` is that of the run: its folder below build/bench.
    `virtual_s` is about how long it takes on the guest's clock, `limit_s` how long it may take here. With a
    `drive` a load on the disk is one on an empty drive, whose interrupts come at moments that no run can repeat.
    The image is one with Ollama if asked.

    Raises:
        BenchError: the guest reported an error, or nothing.
    """
    image = build_image(repository_root(), with_ollama=with_ollama)
    total_s = virtual_s + BOOT_S
    with Progress(console=terminal) as progress:
        task = progress.add_task(f"{name}: {virtual_s} virtual seconds and the boot", total=total_s)
        told = time.monotonic()

        def on_clock(clock_s: float) -> None:
            nonlocal told
            progress.update(task, completed=clock_s)
            # A log has no moving bar.
            if not terminal.is_terminal and time.monotonic() - told > _TOLD_EVERY_S:
                told = time.monotonic()
                terminal.print(f"{name}: {clock_s:.0f} of about {total_s} virtual seconds")

        done = run_virtual(
            image,
            request,
            directory=scenario_directory(name),
            credentials=credentials,
            drive=drive,
            limit_s=limit_s,
            on_line=on_line,
            on_clock=on_clock,
        )
    for line in done.lines:
        if "error" in line:
            raise BenchError(f"in the guest: {line['error']}")
        if "result" in line:
            times = {"virtual_s": done.virtual_s, "real_s": round(done.real_s, 1)}
            timing = keep_timing(done.lines, scenario_directory(name))
            return {**line["result"], "image": image.key, **times, **timing}
    raise BenchError(f"the guest ended without a result; see {scenario_directory(name)}")
