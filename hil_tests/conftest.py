"""One booted robot for the scenarios; a bench that does not come up is an error, never a skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.checks.fixture import clean_afterwards, record_identity
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
def bench(
    pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[Bench]:
    with open_bench(pytestconfig.stash[BENCH], Path("build/hil/machine")) as booted:
        record_identity(booted.identity(), record_testsuite_property)
        yield booted
