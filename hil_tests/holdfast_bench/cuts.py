"""Power cuts at random moments: each has a seed of its own, which repeats it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from holdfast.errors import HoldfastError
from holdfast_bench.one_by_one import one_by_one
from holdfast_bench.result import BenchError

T = TypeVar("T")
Moments = Mapping[str, tuple[float, float]]
"""Between which seconds after its beginning each kind of activity is cut off."""


@dataclass(frozen=True)
class Cut:
    """One cut: its kind and how many seconds after the beginning."""

    seed: int
    kind: str
    after_s: float

    @classmethod
    def drawn(cls, seed: int, moments: Moments) -> Cut:
        """Return the cut of a seed, the same each time."""
        rng = random.Random(seed)  # noqa: S311 - moments, not secrets
        kind = rng.choice(sorted(moments))
        return cls(seed, kind, rng.uniform(*moments[kind]))

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.kind}, after {self.after_s:.2f} s"


def make_each(
    name: str, cuts: Sequence[Cut], make: Callable[[Cut], T], outcome: Callable[[T], str]
) -> list[T]:
    """Make each cut of the scenario `name` and say its outcome; returns what `make` returned.

    Raises:
        BenchError: of a cut; names the command that repeats it.
    """

    def repeatable(cut: Cut) -> T:
        try:
            return make(cut)
        except (BenchError, HoldfastError) as error:
            raise BenchError(
                f"{error}\nrepeat it: holdfast bench run {name} --seed {cut.seed} --count 1"
            ) from error

    return [*one_by_one("cut", {str(cut): partial(repeatable, cut) for cut in cuts}, outcome).values()]


def drawn_of(cuts: Sequence[Cut], moments: Moments) -> dict[str, object]:
    """Return what a result tells of its cuts: how many, their seeds, how many of each kind."""
    return {
        "cuts": len(cuts),
        "seeds": [cut.seed for cut in cuts],
        "kinds": {kind: sum(cut.kind == kind for cut in cuts) for kind in moments},
    }
