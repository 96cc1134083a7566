"""Where a scenario leaves its figures: build/bench/NAME/result.json, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast_image.errors import UsageError

BENCH = Path("build/bench")
RESULT_FILE = "result.json"


class BenchError(Exception):
    """The bench could not work, or the robot did not do what the scenario proves; says what was seen."""


class NotOfferedError(BenchError):
    """The bench does not offer what a scenario needs: nothing was started."""


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


@contextmanager
def failure_kept(name: str, header: Mapping[str, Any]) -> Iterator[None]:
    """Leave `header` and the sentence of an error as the scenario's result, and let the error pass.

    The result of an earlier run would pass for that of this one. Where nothing was started it stays.
    """
    try:
        yield
    except (NotOfferedError, UsageError):
        raise
    except Exception as error:
        write_result(name, {**header, "error": str(error) or type(error).__name__})
        raise
