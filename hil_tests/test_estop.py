"""Each way into a latched stop, on the booted image."""

from __future__ import annotations

import pytest

from holdfast_bench.estop import CASES, Case, run_case
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet", "simulated-drives")

_FAILED = pytest.mark.expect_fault(
    "^controller: |the controller .* failed at tick", reason="the case is a controller that fails"
)
_BROKEN = {
    "controller-nan": (
        _FAILED,
        pytest.mark.expect_fault("command_not_finite", reason="it commands what is not a number"),
    ),
    "controller-request": (_FAILED,),
}
_CASES = [pytest.param(case, id=case.name, marks=_BROKEN.get(case.name, ())) for case in CASES]


@pytest.mark.expect_fault(r"^estop: stop \d+ is latched", reason="each case is a stop")
@pytest.mark.parametrize("case", _CASES)
def test_stop_is_safe_latched_and_cleared_only_by_a_local_reset(bench: VmBench, case: Case) -> None:
    proved = run_case(bench, case)
    assert proved["cause"] == case.cause
    assert proved["latched_after_power_cut"]
    assert min(proved["safe_frames"]["frames"].values()) >= 50
    assert bool(proved["reset_refused"]) == case.stands
