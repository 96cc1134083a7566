"""The suite's outcome as pytest's JUnit file tells it: verdicts, properties of the bench, and each test's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from holdfast_bench.report.runs import ResultError

Outcome = Literal["passed", "failed", "error", "skipped"]
_WORST_FIRST: tuple[tuple[str, Outcome], ...] = (
    ("error", "error"),
    ("failure", "failed"),
    ("skipped", "skipped"),
)


@dataclass(frozen=True)
class Test:
    """One test, what became of it, and the files it left (as `console`, `journal`)."""

    module: str
    name: str
    outcome: Outcome
    time_s: float
    message: str
    files: dict[str, Path]


@dataclass(frozen=True)
class Suite:
    """All tests of one run, and on what it ran: bench, image, kernel, back end, commit, probe."""

    properties: dict[str, str] = field(default_factory=dict)
    tests: list[Test] = field(default_factory=list)


def read_suite(file: Path) -> Suite:
    """Read a JUnit file; an empty suite if it is not there.

    Raises:
        ResultError: it is cut short, or no JUnit file.
    """
    if not file.is_file():
        return Suite()
    try:
        # The bench's own file, not one from outside.
        root = ElementTree.parse(file).getroot()  # noqa: S314
    except ElementTree.ParseError as error:
        raise ResultError(f"{file}: cut short or no XML ({error}); run the suite again") from None
    properties = {
        entry.get("name", ""): entry.get("value", "")
        for entry in root.iterfind(".//testsuite/properties/property")
    }
    # A test that fails and whose checks then fail too is told twice.
    tests: dict[tuple[str, str], Test] = {}
    for element in root.iter("testcase"):
        test = _test(file, element)
        known = tests.get((test.module, test.name))
        tests[test.module, test.name] = test if known is None else _worse(known, test)
    return Suite(properties, list(tests.values()))


def _test(file: Path, element: ElementTree.Element) -> Test:
    name = element.get("name", "")
    try:
        time_s = float(element.get("time", "0"))
    except ValueError:
        raise ResultError(f"{file}: the test '{name}': its time is no number") from None
    outcome: Outcome = "passed"
    message = ""
    for tag, meaning in _WORST_FIRST:
        if (found := element.find(tag)) is not None:
            outcome, message = meaning, found.get("message", "")
            break
    files = {
        entry.get("name", ""): Path(entry.get("value", ""))
        for entry in element.iterfind("properties/property")
        if entry.get("name") in ("console", "journal")
    }
    return Test(element.get("classname", ""), name, outcome, time_s, message, files)


def _worse(one: Test, other: Test) -> Test:
    order: tuple[Outcome, ...] = ("failed", "error", "skipped", "passed")
    worse = min((one, other), key=lambda test: order.index(test.outcome))
    return Test(
        one.module,
        one.name,
        worse.outcome,
        one.time_s + other.time_s,
        worse.message,
        {**one.files, **other.files},
    )
