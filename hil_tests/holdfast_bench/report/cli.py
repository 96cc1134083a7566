"""`holdfast bench report` and `holdfast bench compare`."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click
from rich.table import Table

from holdfast.command import EXIT_CODES, console, errors, fail, json_option, print_json
from holdfast_bench.report.compare import Comparison, compare_all
from holdfast_bench.report.junit import Suite, read_suite
from holdfast_bench.report.limits import unit
from holdfast_bench.report.page import REPORT, Section, in_digits, render, section, summary, write_page
from holdfast_bench.report.runs import ResultError, load_runs
from holdfast_bench.result import BENCH, RESULT_FILE

SUITE = Path("build/logs/hil.xml")
_COMPARE_CODES = (
    "Exit codes: 0 no limit broke; 1 B failed, or breaks a limit that A did not break; "
    "2 they cannot be read or compared."
)
_PLACE = click.Path(path_type=Path)


@click.command(epilog=EXIT_CODES)
@click.option("--open", "open_", is_flag=True, help="Show the page in this machine's browser.")
@click.option(
    "--against",
    type=_PLACE,
    metavar="DIR_OR_RESULT",
    help="An earlier run to compare with: a result.json, the folder of one, or a copy of build/bench.",
)
@json_option
def report(open_: bool, against: Path | None, as_json: bool) -> None:
    """Write build/bench/report.html: verdicts, distributions, timelines and tests on one page.

    Example: holdfast bench report --open
    """
    try:
        sections, suite = _gather(against)
        write_page(render(sections, suite, REPORT), REPORT)
    except ResultError as error:
        fail(error, as_json=as_json)
    except OSError as error:
        file = error.filename2 or error.filename or REPORT
        way_out = (
            "a run as root made it: sudo chown -R $USER build"
            if isinstance(error, PermissionError)
            else "the page cannot be written; make room for it"
        )
        fail(ResultError(f"{file}: {error.strerror}; {way_out}"), as_json=as_json)
    if as_json:
        print_json(dict(summary(sections, suite, REPORT)))
    else:
        for each in sections:
            console.print(f"{each.run.scenario:16} {each.verdict}", markup=False)
        console.print(f"written to {REPORT}")
    if open_ and not webbrowser.open(REPORT.absolute().as_uri()):
        errors.print(f"this machine has no browser to open; take {REPORT} to one that has")


def _gather(against: Path | None) -> tuple[list[Section], Suite]:
    suite = read_suite(SUITE)
    runs = load_runs(BENCH) if any(BENCH.glob(f"*/{RESULT_FILE}")) else {}
    if not runs and not suite.tests:
        raise ResultError(
            f"neither a {RESULT_FILE} below {BENCH} nor {SUITE}: nothing to report; `holdfast bench run` or "
            "`make test` leaves them"
        )
    earlier = load_runs(against) if against else {}
    if against and not runs.keys() & earlier.keys():
        raise ResultError(
            f"{against}: of {', '.join(sorted(earlier))}, but {BENCH} has "
            f"{', '.join(sorted(runs)) or 'no results'}: no scenario to compare"
        )
    return [section(run, earlier.get(name)) for name, run in runs.items()], suite


@click.command(epilog=_COMPARE_CODES)
@click.argument("a", type=_PLACE)
@click.argument("b", type=_PLACE)
@json_option
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Compare run A with the later run B, figure by figure; each is a result.json or a folder of build/bench.

    Example: holdfast bench compare earlier/deadlines build/bench/deadlines
    """
    try:
        before, after = load_runs(a), load_runs(b)
        comparisons = compare_all(before, after)
    except ResultError as error:
        fail(error, as_json=as_json)
    broken = any(comparison.is_worse for comparison in comparisons)
    only = {"a": [name for name in before if name not in after], "b": [n for n in after if n not in before]}
    if as_json:
        scenarios = {c.scenario: _as_json(c) for c in comparisons}
        print_json({"ok": not broken, "scenarios": scenarios, "only": only})
    else:
        for comparison in comparisons:
            _show(comparison)
        for side, names in only.items():
            if names:
                console.print(f"only in {side.upper()}: {', '.join(names)}", markup=False)
    sys.exit(1 if broken else 0)


def _as_json(comparison: Comparison) -> dict[str, object]:
    return {
        "clock": comparison.clock,
        "a": str(comparison.a),
        "b": str(comparison.b),
        "figures": {row.figure: {"a": row.a, "b": row.b, "change": row.change} for row in comparison.rows},
        "broken": [each.key for each in comparison.broken],
        "error": comparison.error,
    }


def _show(comparison: Comparison) -> None:
    console.print(f"{comparison.scenario} ({comparison.clock} time)", markup=False)
    table = Table("figure", box=None, pad_edge=False)
    for heading in ("A", "B", "change", "%"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for row in comparison.rows:
        percent = "-" if row.percent is None else f"{row.percent:+.1f}"
        cells = (
            in_digits(row.a),
            in_digits(row.b),
            in_digits(row.change, signed=True),
            percent,
            unit(row.figure),
        )
        table.add_row(row.figure, *cells)
    console.print(table)
    for each in comparison.broken:
        console.print(
            f"broken: {each.key} is {in_digits(each.value)}, its limit {in_digits(each.at_most)}; A did not break it",
            markup=False,
        )
    if comparison.error is not None:
        console.print(f"broken: B failed: {comparison.error}", markup=False)
