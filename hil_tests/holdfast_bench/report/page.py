"""build/bench/report.html: one page that needs nothing but itself.

Everything that comes from a result or from a test goes through the template's autoescape; the drawings are SVG that
`charts` made.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from holdfast_bench.report.charts import loop_chart, reaction_chart, timeline_chart
from holdfast_bench.report.compare import Comparison, Row, compare_runs, measured
from holdfast_bench.report.junit import Suite
from holdfast_bench.report.limits import Check, Verdict, check, unit, verdict
from holdfast_bench.report.runs import ResultError, Run
from holdfast_bench.report.timeline import Strand, strands
from holdfast_bench.result import BENCH, BenchError
from holdfast_bench.timing import TIMING_FILE, read_timing

REPORT = BENCH / "report.html"
TRIALS_FILE = "trials.csv"
_FILES = ("result.json", TIMING_FILE, TRIALS_FILE, "machine/console.log")
"""What a scenario leaves in its folder and the page refers to."""
_OF_FIGURES = (TIMING_FILE, TRIALS_FILE)
"""Those of a run that did not come to its end are of an earlier one."""


@dataclass(frozen=True)
class Section:
    """One scenario on the page."""

    run: Run
    verdict: Verdict
    checks: list[Check]
    rows: list[Row]
    """Its figures; `a` is the earlier run's."""
    comparison: Comparison | None
    loop: str
    reaction: str
    strands: list[Strand]
    timeline: str

    @property
    def measured_at(self) -> str:
        """When its result was written."""
        return datetime.fromtimestamp(self.run.file.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")

    @property
    def facts(self) -> dict[str, str]:
        """Under what it was measured."""
        known = ("bench", "back_end", "kernel", "image", "processors", "load")
        return {key.replace("_", " "): str(self.run.body[key]) for key in known if key in self.run.body}

    @property
    def files(self) -> dict[str, Path]:
        """The files it left, by their short names."""
        folder = self.run.file.parent
        left = (name for name in _FILES if self.run.header.error is None or name not in _OF_FIGURES)
        return {name.rsplit("/")[-1]: folder / name for name in left if (folder / name).is_file()}


def section(run: Run, earlier: Run | None) -> Section:
    """Judge, compare and draw one run.

    Raises:
        ResultError: a file of it cannot be read, or the earlier run is of another clock or bench.
    """
    checks = check(run)
    comparison = compare_runs(earlier, run) if earlier else None
    rows = comparison.rows if comparison else [Row(key, None, value) for key, value in measured(run).items()]
    parted = strands(run.header.events)
    return Section(
        run,
        verdict(run, checks),
        checks,
        rows,
        comparison,
        _loop(run),
        _reaction(run),
        parted,
        timeline_chart(run.scenario, parted) if parted else "",
    )


def render(sections: Sequence[Section], suite: Suite, page: Path) -> str:
    """Return the page that is to stand at `page`: its links are relative to there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=in_digits, unit=unit)

    def link(file: Path) -> str:
        return quote(os.path.relpath(file, page.parent))

    return environment.get_template("page.html.j2").render(
        sections=sections,
        suite=suite,
        counts=outcomes(suite),
        link=link,
        compared=any(s.comparison for s in sections),
    )


def write_page(text: str, page: Path) -> None:
    """Replace the page in one step."""
    page.parent.mkdir(parents=True, exist_ok=True)
    partial = page.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(page)


def outcomes(suite: Suite) -> dict[str, int]:
    """Return how many tests ended how."""
    counts: dict[str, int] = {}
    for test in suite.tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    return counts


def in_digits(value: float | None, *, signed: bool = False) -> str:
    """Return a figure for people: thousands apart, no more digits than it has."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if float(value).is_integer():
        return f"{value:{sign},.0f}"
    return f"{value:{sign},.3f}".rstrip("0")


def _loop(run: Run) -> str:
    table = run.file.with_name(TIMING_FILE)
    if run.header.error is not None or not table.is_file():
        return ""
    try:
        return loop_chart(run.scenario, read_timing(table))
    except BenchError as error:
        raise ResultError(str(error)) from None


def _reaction(run: Run) -> str:
    table = run.file.with_name(TRIALS_FILE)
    if run.header.error is not None or not table.is_file():
        return ""
    reactions: dict[str, list[float]] = {}
    with table.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            try:
                reactions.setdefault(row["path"], []).append(float(row["reaction_us"]))
            except (KeyError, TypeError, ValueError):
                raise ResultError(
                    f"{table}, line {reader.line_num}: path and reaction_us are missing or no number; the file is cut "
                    "short or damaged"
                ) from None
    limits = {name: _limit_us(run, name) for name in reactions}
    return reaction_chart(run.scenario, reactions, limits) if reactions else ""


def _limit_us(run: Run, path: str) -> float:
    limit = run.number(f"paths.{path}.limit_us")
    if limit is None:
        raise ResultError(f"{run.file}: the key 'paths.{path}.limit_us' is null, not a number")
    return limit


def summary(sections: Sequence[Section], suite: Suite, page: Path) -> Mapping[str, Any]:
    """Return what the page says, for programs."""
    return {
        "report": str(page),
        "scenarios": {
            each.run.scenario: {
                "verdict": each.verdict,
                "clock": each.run.header.clock,
                "bench": each.run.header.bench,
                "error": each.run.header.error,
                "limits": {
                    c.key: {"value": c.value, "at_most": c.at_most, "holds": c.holds} for c in each.checks
                },
            }
            for each in sections
        },
        "tests": outcomes(suite),
    }
