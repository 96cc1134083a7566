"""One booted robot for the scenarios; a bench that does not come up is an error, never a skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast_bench.checks.fixture import clean_afterwards, record_identity
from holdfast_bench.vm_bench import VmBench

__all__ = ["clean_afterwards"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what brings a machine of its own: two emulated robots at once starve each other."""
    items.sort(key=lambda item: "bench" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def bench(record_testsuite_property: Callable[[str, object], None]) -> Iterator[VmBench]:
    with VmBench.booted(Path("build/hil/machine")) as booted:
        record_identity(booted.identity(), record_testsuite_property)
        yield booted
