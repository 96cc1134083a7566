"""What `holdfast up` says while it waits, and what its self-check takes for a robot that moves."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.selfcheck import follows
from holdfast.up_cli import told


def test_what_is_waited_for_is_said_again_and_again() -> None:
    said: list[str] = []

    async def scenario() -> int:
        enough = asyncio.Event()

        def report(line: str) -> None:
            said.append(line)
            if len(said) == 3:
                enough.set()

        async def work() -> int:
            await enough.wait()
            return 7

        return await told(work(), "waiting for the robot", report, every_s=0.001)

    assert asyncio.run(scenario()) == 7
    assert said[:3] == ["waiting for the robot"] * 3


def test_work_that_fails_fails_at_once() -> None:
    async def work() -> None:
        raise OSError("no robot")

    with pytest.raises(OSError, match="no robot"):
        asyncio.run(told(work(), "waiting", lambda _: None))


@pytest.mark.parametrize(
    ("mode", "state", "moves"),
    [
        ("running", "running", True),
        ("holding", "running", True),  # one late setpoint, and the next one goes on
        ("holding", "trapped", False),
        ("stopping", "running", False),
        ("estop", "running", False),
        ("disarmed", None, False),
    ],
)
def test_a_hold_is_no_stop(mode: str, state: str | None, moves: bool) -> None:
    assert follows({"control": {"mode": mode, "controller": {"state": state} if state else None}}) is moves
