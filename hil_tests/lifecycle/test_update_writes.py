"""Whenever the power goes during an update, a boot loader finds whole versions only: every write is looked at."""

from __future__ import annotations

import pytest

from holdfast_bench import update_writes
from holdfast_bench.selection import BENCH
from holdfast_bench.updates import next_version
from holdfast_image.build import release_version, repository_root

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]


def test_any_cut_of_an_update_leaves_whole_versions(pytestconfig: pytest.Config) -> None:
    result = update_writes.run(pytestconfig.stash[BENCH].board)
    assert result["broken"] == 0
    assert all(result["states"][stage] for stage in ("first start", "install", "start")), result["states"]
    first = release_version(repository_root())
    new = next_version(first)
    # The log went from a robot that had the one until it had both.
    assert any(first in names and new not in names for names in result["startable"])
    assert any(first in names and new in names for names in result["startable"])
