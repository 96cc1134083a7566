"""Five minutes without the network: exact deadlines, and nothing is lost."""

from __future__ import annotations

import pytest

from holdfast_bench.play_scenario import play_virtual
from holdfast_bench.scenarios import find_scenario

pytestmark = pytest.mark.needs("virtual-time")


def test_five_minutes_without_the_network_cost_nothing() -> None:
    result = play_virtual(*find_scenario("offline-5min"))
    assert result["cycles"] >= 300_000
    assert result["missed"] == 0
    assert result["fleet"]["results"] == result["fleet"]["tasks"] == 30
    assert result["fleet"]["telemetry"]["gaps"] == 0
    assert result["fleet"]["telemetry"]["received"] >= 300
