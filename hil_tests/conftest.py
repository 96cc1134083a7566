"""One booted robot for the scenarios; a bench that does not come up is an error, never a skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_bench.vm_bench import VmBench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what brings a machine of its own: two emulated robots at once starve each other."""
    items.sort(key=lambda item: "bench" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def bench() -> Iterator[VmBench]:
    with VmBench.booted(Path("build/hil/machine")) as booted:
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
