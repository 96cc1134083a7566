"""Scenario `tick`: what one call of a controller costs, from C++, from Python and compiled natively; and the cycle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from holdfast_bench.plots import plot_cycles, plot_ticks
from holdfast_bench.result import BenchError

RESULT = Path("build/bench.json")
PLOTS = Path("build/bench")


def run() -> dict[str, Any]:
    """Build and run runtime/control/bench; it writes build/bench.json, which is plotted and returned.

    The plots are build/bench/tick.png and cycle.png, each as SVG too.

    Raises:
        BenchError: it did not run to its end.
    """
    # What it prints is in the file as well, and standard output belongs to the command that runs the scenario.
    done = subprocess.run(
        [sys.executable, "runtime/control/bench/tick_bench.py"], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise BenchError(
            f"runtime/control/bench/tick_bench.py ended with {done.returncode}; its words are above"
        )
    result: dict[str, Any] = json.loads(RESULT.read_text())
    plot_ticks(result["tick"], PLOTS / "tick")
    plot_cycles(result["cycle"]["channels"], PLOTS / "cycle")
    return result
