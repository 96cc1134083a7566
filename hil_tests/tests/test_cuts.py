"""What the scenarios with power cuts draw from a seed."""

from __future__ import annotations

import pytest

from holdfast_bench import power_cut, update_cut
from holdfast_bench.cuts import Cut, Moments


@pytest.mark.parametrize(
    ("moments", "kinds"),
    [
        (power_cut.MOMENTS_S, {"writing", "deploying", "booting"}),
        (update_cut.MOMENTS_S, {"installing", "starting"}),
    ],
    ids=["power-cut", "update-cut"],
)
def test_a_seed_gives_the_same_cut_again_and_another_seed_another(moments: Moments, kinds: set[str]) -> None:
    cuts = [Cut.drawn(seed, moments) for seed in range(50)]
    assert cuts == [Cut.drawn(seed, moments) for seed in range(50)]
    assert len({cut.after_s for cut in cuts}) == 50
    assert {cut.kind for cut in cuts} == kinds
