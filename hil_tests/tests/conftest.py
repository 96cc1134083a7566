"""A simulated probe, and a session with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from holdfast_bench.probe.driver import Probe
from holdfast_bench.probe.simulated import SimulatedProbe


@pytest.fixture
def begin() -> Iterator[Callable[..., SimulatedProbe]]:
    """Start simulated probes with options of theirs."""
    with ExitStack() as stack:

        def start(*options: str) -> SimulatedProbe:
            simulated = SimulatedProbe(*options)
            stack.callback(simulated.end)
            return simulated

        yield start


@pytest.fixture
def world(begin: Callable[..., SimulatedProbe]) -> SimulatedProbe:
    return begin()


@pytest.fixture
def probe(world: SimulatedProbe) -> Iterator[Probe]:
    with Probe(world.port, timeout_s=60) as opened:
        yield opened
