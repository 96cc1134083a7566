"""One booted robot for the scenarios; a bench that does not come up is an error, never a skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_bench.labgrid.board import BoardBench
from holdfast_bench.open_bench import open_bench
from holdfast_bench.selection import (
    BENCH,
    LEFT_OUT,
    add_bench_option,
    leave_out,
    load_bench,
    tell_what_is_left_out,
)
from holdfast_bench.vm_bench import VmBench


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
def bench(pytestconfig: pytest.Config) -> Iterator[VmBench | BoardBench]:
    with open_bench(pytestconfig.stash[BENCH], Path("build/hil/machine")) as booted:
        yield booted


@pytest.fixture(autouse=True)
def clean_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on the booted robot: no failed unit, a sound database."""
    yield
    if "bench" not in request.fixturenames:
        return
    robot = request.getfixturevalue("bench").robot
    failed = robot.shell.run("systemctl list-units --failed --plain --no-legend").stdout
    assert failed == ""
    assert robot.ask("database") == {"ok": True, "quick_check": ["ok"]}
