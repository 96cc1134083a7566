"""The bench notices a slow loop, unlocked memory and a wrong priority: each is made on purpose, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_bench import deadlines_loaded
from holdfast_bench.report.limits import LIMITS
from holdfast_bench.result import BenchError

pytestmark = pytest.mark.needs("virtual-time")

SECONDS = 5


def broken_limits(result: dict[str, Any]) -> set[str]:
    """The figures of a run that are above their limits."""
    figures = {"missed": result["missed"]} | {
        f"{key}.max": result[key]["max"] for key in ("wake_us", "cycle_us")
    }
    return {limit.key for limit in LIMITS[deadlines_loaded.NAME] if figures[limit.key] > limit.at_most}


def test_without_a_mistake_every_limit_holds() -> None:
    assert broken_limits(deadlines_loaded.run(SECONDS)) == set()


def test_a_slow_phase_is_noticed() -> None:
    result = deadlines_loaded.run(SECONDS, sabotage="slow")
    assert "cycle_us.max" in broken_limits(result)
    assert result["phases_us"]["read"]["p50"] >= 100


def test_memory_that_is_not_locked_is_noticed() -> None:
    with pytest.raises(BenchError, match="memory"):
        deadlines_loaded.run(SECONDS, sabotage="unlocked")


def test_a_wrong_priority_is_noticed() -> None:
    # Interrupt threads come before the loop, in the middle of a cycle too.
    assert "cycle_us.max" in broken_limits(deadlines_loaded.run(SECONDS, sabotage="priority"))
