"""What the scenario `update-cut` draws."""

from __future__ import annotations

from holdfast_bench.update_cut import Cut


def test_a_seed_gives_the_same_cut_again_and_another_seed_another() -> None:
    assert [Cut.drawn(seed) for seed in range(50)] == [Cut.drawn(seed) for seed in range(50)]
    assert len({Cut.drawn(seed).after_s for seed in range(50)}) == 50
    assert {Cut.drawn(seed).kind for seed in range(50)} == {"installing", "starting"}
