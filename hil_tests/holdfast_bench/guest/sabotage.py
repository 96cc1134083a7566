"""Mistakes on purpose in the real-time set-up of the robot, for the test of the tests: the bench must notice each.

slow        the core spins 100 µs in one phase of each cycle
unlocked    the core may not lock its memory
priority    the loop runs below the kernel's interrupt threads
"""

from __future__ import annotations

from pathlib import Path

from holdfast.places import executable
from holdfast_bench.guest.commands import ScenarioError, run

_DROP_IN = Path("/run/systemd/system/holdfast-control.service.d/90-sabotage.conf")


def sabotage(kind: str) -> None:
    """Make the mistake and restart the core with it.

    Raises:
        ScenarioError: there is no such mistake, or the core did not start again.
    """
    slow = executable("holdfast-control").with_name("holdfast-slow-read.so")
    mistakes = {
        "slow": f"Environment=LD_PRELOAD={slow}",
        "unlocked": "LimitMEMLOCK=0",
        "priority": "Environment=HOLDFAST_CONTROL__TIER1_PRIORITY=11 HOLDFAST_CONTROL__CONTROLLER_PRIORITY=10",
    }
    if kind not in mistakes:
        raise ScenarioError(f"there is no mistake {kind!r}; there are {', '.join(mistakes)}")
    _DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    _DROP_IN.write_text(f"[Service]\n{mistakes[kind]}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "holdfast-control.service")
