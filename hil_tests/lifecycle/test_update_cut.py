"""The power goes during an update; `holdfast bench run update-cut` does it 100 times."""

from __future__ import annotations

import pytest

from holdfast_bench import update_cut
from holdfast_bench.bench import Bench
from holdfast_bench.cuts import Cut

pytestmark = pytest.mark.needs("fresh-machine")


_REBOOT = pytest.mark.expect_fault(
    "Failed unmounting|watchdog did not stop|preauth child terminated",
    reason="the robot is told to reboot: the last umount is that of systemd-shutdown, which the watchdog guards and "
    "which ends the bench's own logins",
)


@pytest.mark.parametrize(("seed", "kind"), [(1, "installing"), pytest.param(5, "starting", marks=_REBOOT)])
def test_a_cut_update_leaves_a_complete_version(bench: Bench, seed: int, kind: str) -> None:
    cut = Cut.drawn(seed, update_cut.MOMENTS_S)
    assert cut.kind == kind
    update_cut.cut_one(bench, cut)
