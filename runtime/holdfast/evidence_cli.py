"""`holdfast robot evidence`: what led to a stop, as the safety daemon recorded it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from holdfast.command import EXIT_CODES, console, fail, json_option, print_json
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evidence import Evidence, evidence_directory, evidence_files, load_evidence

_DEFAULT_STEP_MS = 50
_AROUND_MS = 5.0


@click.group(epilog=EXIT_CODES)
def evidence() -> None:
    """Show what led to a stop: 2 s before and 0.5 s after it. On the robot itself.

    Example: holdfast robot evidence list
    """


def _directory_option(function: Callable[..., Any]) -> Any:
    return click.option(
        "--directory",
        type=click.Path(path_type=Path),
        help="Where the records lie; by default where this robot's safety daemon writes them.",
    )(json_option(function))


@evidence.command(name="list", epilog=EXIT_CODES)
@_directory_option
def list_(directory: Path | None, as_json: bool) -> None:
    """List the records, oldest first; one that is damaged is named with its fault.

    Example: holdfast robot evidence list --json
    """
    try:
        files = evidence_files(directory or evidence_directory())
    except HoldfastError as error:
        fail(error, as_json=as_json)
    rows = [_listed(stop, file) for stop, file in files.items()]
    if as_json:
        print_json({"records": rows})
        return
    table = Table(title="Records of stops", title_justify="left")
    for heading in ("stop", "cause", "saved", "entries", "missing"):
        table.add_column(heading)
    for row in rows:
        if "error" in row:
            table.add_row(str(row["stop"]), f"[red]{row['error']}[/red]", "", "", "")
        else:
            table.add_row(*(str(row[key]) for key in ("stop", "cause", "saved", "entries", "missing")))
    console.print(table if rows else "no stop has been recorded")


def _listed(stop: int, file: Path) -> dict[str, Any]:
    try:
        return load_evidence(file).summary()
    except HoldfastError as error:
        return {"stop": stop, "file": str(file), "error": str(error)}


@evidence.command(epilog=EXIT_CODES)
@click.argument("stop", type=click.IntRange(min=1))
@click.option(
    "--step-ms",
    type=click.IntRange(min=1),
    default=_DEFAULT_STEP_MS,
    show_default=True,
    help=f"One row each so many entries; within {_AROUND_MS:g} ms of the stop every entry is shown.",
)
@_directory_option
def show(stop: int, step_ms: int, directory: Path | None, as_json: bool) -> None:
    """Show the record of one stop as a table; --json has every entry and every field.

    Example: holdfast robot evidence show 3 --step-ms 10
    """
    try:
        place = directory or evidence_directory()
        files = evidence_files(place)
        if stop not in files:
            there = ", ".join(map(str, files)) or "none"
            raise ConfigError(f"{place}: there is no record of stop {stop}; there are: {there}")
        record = load_evidence(files[stop])
    except HoldfastError as error:
        fail(error, as_json=as_json)
    if as_json:
        print_json(_as_json(record))
    else:
        console.print(_table(record, step_ms))


def _as_json(record: Evidence) -> dict[str, Any]:
    names = record.entries.dtype.names or ()
    entries = {name: _plain(record.entries[name]) for name in names}
    entries["time_ms"] = record.time_ms().tolist()
    entries["cause"] = record.named("cause", "causes")
    entries["standing"] = record.named("standing", "causes")
    entries["core_mode"] = record.named("core_mode", "modes")
    entries["controller_fault"] = record.named("controller_fault", "controller_faults")
    entries["flags"] = [record.flags(index) for index in range(len(record.entries))]
    header = {key: record.header[key] for key in ("commands", "states")}
    return record.summary() | header | {"columns": entries}


def _plain(values: Any) -> list[Any]:
    """Return what JSON can carry: NaN and infinity become null."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return list(np.where(np.isfinite(values), values, np.array(None, dtype=object)).tolist())


def _table(record: Evidence, step: int) -> Table:
    header = record.header
    table = Table(
        title=f"Stop {record.stop}: {header['cause']}, saved {header['saved']}, {header['entries']} entries, "
        f"{header['missing']} missing",
        title_justify="left",
    )
    commands: list[str] = header["commands"]
    states: list[str] = header["states"]
    for heading in ("ms", "mode", "stop", "standing", "core cycle", "cycle µs"):
        table.add_column(heading, justify="right")
    for name in (*(f"sent {name}" for name in commands), *states):
        table.add_column(name, justify="right")
    table.add_column("flags")
    times = record.time_ms()
    modes, standing = record.named("core_mode", "modes"), record.named("standing", "causes")
    for index, entry in enumerate(record.entries):
        if index % step and abs(times[index]) > _AROUND_MS:
            continue
        measured = (
            [
                _number(value) if received else "-"
                for value, received in zip(entry["state"], entry["state_mono_ns"], strict=True)
            ]
            if states
            else []
        )
        table.add_row(
            f"{times[index]:+.1f}",
            modes[index],
            str(entry["latch_sequence"]),
            standing[index],
            str(entry["core_cycle"]),
            f"{entry['core_cycle_time_ns'] / 1000:.0f}",
            *(_number(value) for value in entry["sent"]),
            *measured,
            " ".join(record.flags(index)),
            style="bold red" if times[index] == 0 else "",
        )
    return table


def _number(value: float) -> str:
    return f"{value:+.3f}"
