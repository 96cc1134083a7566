"""A scenario that takes minutes tells on standard error what it does: each case as it begins, and its outcome."""

from __future__ import annotations

import pytest

from holdfast.errors import UnreachableError
from holdfast_bench.one_by_one import one_by_one
from holdfast_bench.result import BenchError


def test_each_case_is_told_with_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"first": lambda: 3, "second": lambda: 4}
    assert one_by_one("case", cases, lambda number: f"came to {number}") == {"first": 3, "second": 4}
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "case 1 of 2, first",
        "  came to 3",
        "case 2 of 2, second",
        "  came to 4",
    ]
    assert told.out == ""


@pytest.mark.parametrize("error", [BenchError("it fell"), UnreachableError("it fell")])
def test_a_case_that_fails_is_named(error: Exception) -> None:
    def fall() -> None:
        raise error

    with pytest.raises(BenchError, match=r"^somersault: it fell$"):
        one_by_one("case", {"somersault": fall})
