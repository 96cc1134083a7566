"""The power goes during an update; `holdfast bench run update-cut` does it 100 times."""

from __future__ import annotations

import pytest

from holdfast_bench import update_cut
from holdfast_bench.bench import Bench
from holdfast_bench.update_cut import Cut

pytestmark = pytest.mark.needs("fresh-machine")


@pytest.mark.parametrize(("seed", "kind"), [(1, "installing"), (5, "starting")])
def test_a_cut_update_leaves_a_complete_version(bench: Bench, seed: int, kind: str) -> None:
    cut = Cut.drawn(seed)
    assert cut.kind == kind
    update_cut.cut_one(bench, cut)
