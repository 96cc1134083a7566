"""Whenever the power goes, a robot that starts from what its drive holds has lost nothing that it acknowledged."""

from __future__ import annotations

import pytest

from holdfast_bench import data_writes
from holdfast_bench.robot_at_work import STAGES
from holdfast_bench.selection import BENCH

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine", "fleet")]


def test_any_cut_keeps_what_was_acknowledged(pytestconfig: pytest.Config) -> None:
    result = data_writes.run(pytestconfig.stash[BENCH].board, count=60)
    assert result["lost"] == 0
    assert result["states"].keys() == {
        kind for stage in STAGES for kind in (stage, f"{stage}, in another order")
    }
    assert result["acknowledged"].keys() == {"task", "controller", "stop"}
