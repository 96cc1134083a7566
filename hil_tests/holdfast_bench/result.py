"""Where a scenario leaves its figures: build/bench/NAME/result.json, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BENCH = Path("build/bench")
RESULT_FILE = "result.json"


class BenchError(Exception):
    """The bench could not work, or the robot did not do what the scenario proves; says what was seen."""


def scenario_directory(name: str) -> Path:
    """Return (and make) the folder of a scenario's console, journal and result."""
    directory = BENCH / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Replace the scenario's result.json in one step."""
    path = scenario_directory(name) / RESULT_FILE
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=2) + "\n")
    partial.replace(path)
    return path
