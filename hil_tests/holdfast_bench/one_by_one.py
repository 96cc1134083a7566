"""The cases of a scenario one after the other.

Each is told as it begins and as it ends: a case takes minutes, and nobody should have to guess whether it hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from holdfast.command import errors as terminal
from holdfast.errors import HoldfastError
from holdfast_bench.result import BenchError

T = TypeVar("T")


def one_by_one(
    what: str, cases: Mapping[str, Callable[[], T]], outcome: Callable[[T], str] = lambda _: "as expected"
) -> dict[str, T]:
    """Run each case and tell its outcome; returns what they returned, by their names.

    `what` is the word for one of them: "case 2 of 5, core-killed".

    Raises:
        BenchError: of a case; names it.
    """
    results: dict[str, T] = {}
    for number, (name, run) in enumerate(cases.items(), 1):
        terminal.print(f"{what} {number} of {len(cases)}, {name}", markup=False)
        try:
            results[name] = run()
        except (BenchError, HoldfastError) as error:
            raise BenchError(f"{name}: {error}") from error
        terminal.print(f"  {outcome(results[name])}", markup=False)
    return results
