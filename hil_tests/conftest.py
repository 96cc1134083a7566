"""One booted robot for the scenarios; a bench that does not come up is an error, never a skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.checks.fixture import MACHINES, clean_afterwards, folder_name, record_identity
from holdfast_bench.open_bench import open_bench
from holdfast_bench.selection import (
    BENCH,
    LEFT_OUT,
    add_bench_option,
    leave_out,
    load_bench,
    tell_what_is_left_out,
)

__all__ = ["clean_afterwards"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_bench_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    load_bench(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run first what brings a machine of its own: two emulated robots at once starve each other."""
    items.sort(key=lambda item: "bench" in getattr(item, "fixturenames", ()))
    leave_out(config, items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tell_what_is_left_out(terminalreporter, config.stash[BENCH], config.stash[LEFT_OUT])


@pytest.fixture(scope="session")
def record_bench(
    record_testsuite_property: Callable[[str, object], None],
) -> Callable[[Bench], None]:
    """Return what writes the identity of the first robot into the JUnit file; the others are its like."""
    recorded = False

    def record(bench: Bench) -> None:
        nonlocal recorded
        if not recorded:
            record_identity(bench.identity(), record_testsuite_property)
            recorded = True

    return record


@pytest.fixture(scope="session")
def standing_bench(pytestconfig: pytest.Config) -> Iterator[Bench]:
    """The one robot of a bench where booting takes long, or where there is no other."""
    with open_bench(pytestconfig.stash[BENCH], Path("build/hil/machine")) as booted:
        yield booted


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, record_bench: Callable[[Bench], None]
) -> Iterator[Bench]:
    """A robot that is ready: this test's own where that is a matter of seconds."""
    chosen = pytestconfig.stash[BENCH]
    if not chosen.starts_from_saved_state:
        standing: Bench = request.getfixturevalue("standing_bench")
        record_bench(standing)
        yield standing
        return
    with open_bench(chosen, MACHINES / folder_name(request.node.nodeid)) as own:
        record_bench(own)
        yield own
