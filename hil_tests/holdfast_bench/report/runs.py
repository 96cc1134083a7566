"""Result files of the bench as typed runs; a file that cannot be read is one sentence that names file and key."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from holdfast.errors import HoldfastError
from holdfast_bench.result import RESULT_FILE


class ResultError(HoldfastError):
    """A result cannot be read, judged or compared; says which file and which key."""

    exit_code = 2


class Event(BaseModel):
    """Something that happened in a run, with the scenario's clock; what else it carries is shown as it is."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    t_s: float
    event: str

    @property
    def details(self) -> dict[str, Any]:
        """What it carries besides time and name."""
        return dict(self.model_extra or {})


class Header(BaseModel):
    """What every result has, whatever its scenario measures."""

    model_config = ConfigDict(extra="ignore", strict=True)

    scenario: str
    clock: Literal["virtual", "real"]
    bench: str | None = None
    """What its bench file calls it; None: a result of before it was kept, or of this machine alone."""
    back_end: str | None = None
    keeps_deadlines: bool = False
    """Whether late cycles were the robot's own fault."""
    error: str | None = None
    """Why the run did not come to its end; a result that has it has no figures."""
    events: list[Event] = []


@dataclass(frozen=True)
class Run:
    """One result.json."""

    file: Path
    header: Header
    body: Mapping[str, Any]

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self.header.scenario

    @property
    def judges_deadlines(self) -> bool:
        """Whether a deadline that was missed says something about the robot."""
        return self.header.clock == "virtual" or self.header.keeps_deadlines

    def value(self, key: str) -> Any:
        """Return what stands under a dotted key.

        Raises:
            ResultError: there is no such key.
        """
        found: Any = self.body
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise ResultError(f"{self.file}: the key '{key}' is missing; run the scenario again")
            found = found[part]
        return found

    def number(self, key: str) -> float | None:
        """Return the figure under a dotted key; None where nothing was counted.

        Raises:
            ResultError: there is none, or it is no finite number.
        """
        found = self.value(key)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise ResultError(f"{self.file}: the key '{key}' is {json.dumps(found)}, not a finite number")
        return found

    def figures(self) -> dict[str, float]:
        """Return every number of the result by its dotted key, in the order of the file."""
        return dict(_numbers(self.body, ""))


def _numbers(body: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in body.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{key}", value


def load_run(file: Path) -> Run:
    """Read one result.json.

    Raises:
        ResultError: it is not there, cut short, or a key that every result has is missing or of another type.
    """
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{file}: {error.strerror}; `holdfast bench run` writes it") from None
    except ValueError as error:
        raise ResultError(f"{file}: cut short or no JSON ({error}); run the scenario again") from None
    if not isinstance(body, dict):
        raise ResultError(f"{file}: not a JSON object; run the scenario again")
    try:
        return Run(file, Header.model_validate(body), body)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ResultError(f"{file}: the key '{key}': {first['msg']}") from None


def load_runs(place: Path) -> dict[str, Run]:
    """Return the runs at a place by scenario: a result.json, the folder of one, or a folder of such folders.

    Raises:
        ResultError: there is none, or one cannot be read.
    """
    if place.is_dir():
        own = place / RESULT_FILE
        files = [own] if own.is_file() else sorted(place.glob(f"*/{RESULT_FILE}"))
    else:
        files = [place]
    if not files:
        raise ResultError(f"{place}: no {RESULT_FILE} in it or in a folder of it")
    runs: dict[str, Run] = {}
    for run in map(load_run, files):
        if run.scenario in runs:
            raise ResultError(f"{run.file}: '{run.scenario}' is in {runs[run.scenario].file} already")
        runs[run.scenario] = run
    return runs
