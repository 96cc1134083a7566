"""The last recorded trace: what the state channels really looked like, for the verification of new controllers."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

TRACE_LENGTH = 100


class Recorder:
    """Keeps the last 100 complete state vectors, sampled at 10 Hz by the core watch: the last ten seconds."""

    def __init__(self) -> None:
        self._vectors: deque[list[float]] = deque(maxlen=TRACE_LENGTH)

    def add(self, state: NDArray[np.float64]) -> None:
        """Record one vector, one value a state channel; an incomplete one (NaN) is no example of anything."""
        if state.size and bool(np.isfinite(state).all()):
            self._vectors.append(state.tolist())

    def trace(self) -> list[list[float]]:
        """Return the vectors, oldest first."""
        return list(self._vectors)
