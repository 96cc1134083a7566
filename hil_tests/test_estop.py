"""Each way into a latched stop, on the booted image."""

from __future__ import annotations

import pytest

from holdfast_bench.estop import CASES, Case, run_case
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet", "simulated-drives")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stop_is_safe_latched_and_cleared_only_by_a_local_reset(bench: VmBench, case: Case) -> None:
    proved = run_case(bench, case)
    assert proved["cause"] == case.cause
    assert proved["latched_after_power_cut"]
    assert min(proved["safe_frames"]["frames"].values()) >= 50
    assert bool(proved["reset_refused"]) == case.stands
