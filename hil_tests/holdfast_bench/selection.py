"""Which tests a bench can run: those whose capabilities it offers. The others are left out by name, not skipped.

`@pytest.mark.needs("links", "fleet")` names capabilities; a test that uses the fixture `bench` needs power, console
and shell besides. What a bench does not offer is no failure of the robot, so those tests are deselected before
anything is booted, and the end of the run lists each with what it lacks. A name that is no capability stops the run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_bench.bench_file import (
    CAPABILITIES,
    LIVE,
    BenchFile,
    BenchFileError,
    default_bench,
    load_bench_file,
)

BENCH = pytest.StashKey[BenchFile]()
LEFT_OUT = pytest.StashKey[list[tuple[str, list[str]]]]()


def add_bench_option(parser: pytest.Parser) -> None:
    """Add `--bench FILE`."""
    parser.addoption(
        "--bench",
        type=Path,
        metavar="FILE",
        help="bench file: the robot to test and what can be done to it (default: hil_tests/benches/virtual.toml)",
    )


def load_bench(config: pytest.Config) -> None:
    """Read the bench file.

    Raises:
        pytest.UsageError: it cannot be used; says which line and how to mend it.
    """
    config.addinivalue_line("markers", "needs(*capabilities): what the bench must offer: docs/reference.md")
    config.stash[LEFT_OUT] = []
    try:
        config.stash[BENCH] = load_bench_file(config.getoption("bench", None) or default_bench())
    except BenchFileError as error:
        raise pytest.UsageError(str(error)) from None


def needed(item: pytest.Item) -> frozenset[str]:
    """Return the capabilities a test asks for.

    Raises:
        pytest.UsageError: one of them is none.
    """
    names = {str(name) for mark in item.iter_markers("needs") for name in mark.args}
    if unknown := names - CAPABILITIES:
        raise pytest.UsageError(
            f"{item.nodeid} needs {', '.join(sorted(unknown))}, which is no capability; "
            f"there are {', '.join(sorted(CAPABILITIES))}"
        )
    return frozenset(names | (LIVE if "bench" in getattr(item, "fixturenames", ()) else set()))


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what the bench cannot run and remember it for the end of the run."""
    left_out, kept = [], []
    for item in items:
        if lacking := config.stash[BENCH].lacks(needed(item)):
            config.stash[LEFT_OUT].append((item.nodeid, lacking))
            left_out.append(item)
        else:
            kept.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def tell_what_is_left_out(
    terminal: pytest.TerminalReporter, bench: BenchFile, left_out: list[tuple[str, list[str]]]
) -> None:
    """List the tests that were left out."""
    if not left_out:
        return
    terminal.section(f"{len(left_out)} tests left out: the bench {bench.name} does not offer what they need")
    for nodeid, lacking in left_out:
        terminal.line(f"{nodeid}: {', '.join(lacking)}")
