"""The e-stop's wires and the hardware watchdog, on the booted image with gpio-sim and softdog."""

from __future__ import annotations

import pytest

from holdfast_bench import safety_lines
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet", "simulated-drives", "gpio-sim")


@pytest.mark.expect_fault(r"^estop: stop \d+ is latched", reason="each case is a stop")
def test_wires_and_watchdog(bench: VmBench) -> None:
    cases = safety_lines.run(bench)["cases"]
    assert cases["press_and_release"]["reset_refused"]
    assert "both open" in cases["one_contact"]["reset_refused"]
    assert cases["evidence"]["entries"] > 0
    assert cases["watchdog"]["device"].startswith("/dev/watchdog")
