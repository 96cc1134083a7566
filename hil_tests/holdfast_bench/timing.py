"""timing.csv: the raw histograms of a scenario in virtual time, beside its result.json.

One row a bin that was hit: `histogram` (wake, cycle, controller or a phase), `upper_edge_us` (bins of 1 µs; "inf": the
last one, which takes all above the range) and `count`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast_bench.result import BenchError

TIMING_FILE = "timing.csv"
COLUMNS = ("histogram", "upper_edge_us", "count")

Histogram = dict[float, int]
"""Counts by the upper edge of their bin in µs, in ascending order."""


def keep_timing(lines: Iterable[Mapping[str, Any]], directory: Path) -> dict[str, str]:
    """Write the histograms among a guest's lines, if there are any, as timing.csv; returns the file by its content."""
    (directory / TIMING_FILE).unlink(missing_ok=True)
    for line in lines:
        if "histograms" in line:
            return {"timing": str(write_timing(line["histograms"], directory))}
    return {}


def write_timing(histograms: Mapping[str, Mapping[str, int]], directory: Path) -> Path:
    """Write histograms whose bins are named by their upper edge in µs."""
    table = directory / TIMING_FILE
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for name, bins in histograms.items():
            writer.writerows((name, edge, bins[edge]) for edge in sorted(bins, key=float))
    return table


def read_timing(table: Path) -> dict[str, Histogram]:
    """Return the histograms of a timing.csv by their names.

    Raises:
        BenchError: the file has other columns, or a row is not what it should be; names the line.
    """
    histograms: dict[str, Histogram] = {}
    with table.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BenchError(f"{table}: its first line is not {','.join(COLUMNS)}")
        for row in reader:
            try:
                edge_us, count = float(row["upper_edge_us"]), int(row["count"])
            except (TypeError, ValueError):
                raise BenchError(
                    f"{table}, line {reader.line_num}: upper_edge_us and count are numbers; the file is cut short "
                    "or damaged"
                ) from None
            histograms.setdefault(row["histogram"], {})[edge_us] = count
    return {name: dict(sorted(bins.items())) for name, bins in histograms.items()}
