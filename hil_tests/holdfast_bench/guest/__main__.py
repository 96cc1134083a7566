"""Scenarios on the robot: `python -m holdfast_bench.guest`.

In virtual time nothing can come from outside (the guest's clock does not wait), so the whole scenario is here:
holdfast-scenario.service starts it, it reads its parameters from the credential `holdfast.scenario`, a JSON object
{"name", ...}, and writes JSON lines to the virtio port `holdfast.result`. In real time the bench starts it by ssh, as
`python -m holdfast_bench.guest -`: the object comes by standard input, the lines go to standard output, and
{"outside": {...}} asks the bench for what only it can do. The last line is {"result": {...}} or {"error": "..."}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.deadlines import deadlines, deadlines_loaded
from holdfast_bench.guest.estop_trials import estop_trials
from holdfast_bench.guest.play import play
from holdfast_bench.guest.scenario import InGuest, Reporter, Rig

RESULT_PORT = Path("/dev/virtio-ports/holdfast.result")

Body = Callable[[Rig, dict[str, Any], Reporter], Awaitable[dict[str, Any]]]
SCENARIOS: dict[str, Body] = {
    "deadlines": deadlines,
    "deadlines-loaded": deadlines_loaded,
    "estop-1000": estop_trials,
    "play": play,
}


async def run(request: dict[str, Any], rig: Rig, report: Reporter) -> dict[str, Any]:
    """Run the scenario that `request` names.

    Raises:
        ScenarioError: there is none of that name, or the robot did not do what it needs.
    """
    body = SCENARIOS.get(str(request.get("name")))
    if body is None:
        raise ScenarioError(f"no scenario {request.get('name')!r} here; there are {', '.join(SCENARIOS)}")
    return await body(rig, request, report)


def _credential() -> dict[str, Any]:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise ScenarioError("there is no credential directory; start me from holdfast-scenario.service")
    request: dict[str, Any] = json.loads((Path(directory) / "holdfast.scenario").read_text())
    return request


def main() -> int:
    """Run the scenario that is asked for; 0 if it ran to its end."""
    by_ssh = sys.argv[1:] == ["-"]
    with sys.stdout if by_ssh else RESULT_PORT.open("w") as port:
        report = Reporter(port)
        try:
            request = json.loads(sys.stdin.readline()) if by_ssh else _credential()
            rig = InGuest(report, request.get("hub_url"))
            report.line(result=asyncio.run(run(request, rig, report)))
        except Exception as error:
            # Whoever started the guest has no other way to learn of it.
            report.line(error=f"{type(error).__name__}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
