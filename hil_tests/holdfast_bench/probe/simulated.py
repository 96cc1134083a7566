"""Runs a simulated probe in a process of its own, with a clock that moves only when told to: for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from holdfast_bench.probe.errors import ProbeError

_END_LIMIT_S = 60.0


class SimulatedProbe:
    """The probe and what is around it; see the requests in `holdfast_bench.probe.simulator`.

    Args:
        options: of the simulator's command line.
    """

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "holdfast_bench.probe.simulator", "--clock", "manual", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port: str = self._read()["port"]

    def do(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Carry out a request and return its answer.

        Raises:
            ProbeError: the simulator refuses it.
        """
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if not answer["ok"]:
            raise ProbeError(f"simulator: {answer['error']}")
        return answer

    def advance(self, ms: float, *, stalled: bool = False) -> None:
        """Move its clock; stalled: the firmware does not run meanwhile."""
        self.do("advance", ms=ms, stalled=stalled)

    def levels(self) -> dict[str, bool]:
        """Return the levels of its pins, without asking its firmware."""
        return {name: bool(level) for name, level in self.do("state")["levels"].items()}

    def received(self) -> int:
        """Return how many bytes its firmware was sent."""
        return int(self.do("state")["received"])

    def end(self) -> None:
        """End its process; its port is gone then."""
        self._process.communicate(timeout=_END_LIMIT_S)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
