"""Deadlines in virtual time: the guest's clock counts instructions, so this machine's speed has no part."""

from __future__ import annotations

import pytest

from holdfast_bench.deadlines import run

pytestmark = pytest.mark.needs("virtual-time")


def test_no_deadline_is_missed_under_load() -> None:
    result = run(seconds=60)
    assert result["cycles"] >= 60_000
    assert result["missed"] == 0
    assert result["controller"]["state"] == "running"
    assert result["mode"] == "running"
    assert not result["realtime"]["degraded"]
