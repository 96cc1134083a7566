"""The power goes while the robot writes, deploys and boots; `holdfast bench run power-cut` does it 200 times."""

from __future__ import annotations

import pytest

from holdfast_bench import power_cut
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet")


@pytest.mark.parametrize(("seed", "kind"), [(2, "booting"), (5, "writing"), (12, "deploying")])
def test_a_power_cut_loses_nothing_that_was_acknowledged(bench: VmBench, seed: int, kind: str) -> None:
    result = power_cut.run(bench, count=1, seed=seed)
    assert result["kinds"][kind] == 1
    assert result["lost"] == 0
    assert (result["acknowledged"]["tasks"] > 0) == (kind == "writing")
