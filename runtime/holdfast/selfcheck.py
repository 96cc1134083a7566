"""The self-check of `holdfast up --once`: deploy, arm, move, e-stop, reset, move again, e-stop; on any session.

It ends with the stop latched and returns what build/up.json holds; the first thing that is not as it must be ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, RefusedError
from holdfast.modes import FOLLOWING
from holdfast.session import Report, Session

Status = dict[str, Any]

_POLL_S = 0.1
_CYCLES = 1000
_STILL_S = 1.0
_PATIENCE_S = 60.0
_MOVED = 0.02
_STILL = 0.01
_STILL_VELOCITY = 0.02


class CheckFailedError(HoldfastError):
    """The robot did not do what it must."""


async def deploy_and_arm(session: Session, controller: Path, report: Report) -> None:
    """Deploy a controller through the hub and let it move the robot."""
    report(f"deploying {controller.name} through the hub")
    await session.target.deploy(controller.stem, "", await asyncio.to_thread(controller.read_bytes))
    report("arming")
    await _until_armed(session)


async def self_check(session: Session, controller: Path, seconds: float, report: Report) -> dict[str, Any]:
    """Run the check for at least `seconds` and 1000 cycles of motion; returns the figures.

    Raises:
        CheckFailedError: naming what was expected and what was found.
    """
    await deploy_and_arm(session, controller, report)
    report(f"moving for {seconds:g} s")
    moving = await _observe_motion(session, seconds)
    report("emergency stop")
    await _stop(session)
    report("reset: nothing may move until it is armed")
    await _check_refused(session.target.arm, "arm while the stop is latched")
    await _reset(session)
    await _check_still(session)
    report("arming again")
    await _until_armed(session)
    await _wait_for_motion(session)
    report("emergency stop: the robot is left stopped")
    reaction = await _stop(session)
    controller_status = _control(moving)["controller"]
    return {
        "cycles": moving["loop"]["cycles"],
        "missed": moving["loop"]["missed"],
        "wake_us": moving["loop"]["wake_us"],
        "cycle_us": moving["loop"]["cycle_us"],
        "controller": {
            "name": controller_status["name"],
            "state": controller_status["state"],
            "sha256": controller_status["sha256"],
            "ticks": controller_status["tick"],
        },
        "estop_reaction_cycles": reaction,
        "realtime": _control(moving).get("realtime"),
    }


# --- looking -----------------------------------------------------------------------------------------------------


def _control(status: Status) -> dict[str, Any]:
    control: dict[str, Any] = status.get("control") or {}
    if "error" in control:
        raise CheckFailedError(f"the core does not answer: {control['error']}")
    return control


def follows(status: Status) -> bool:
    """Return whether the controller runs; one late setpoint makes the robot hold for some cycles, which is no stop."""
    control = _control(status)
    return control.get("mode") in FOLLOWING and (control.get("controller") or {}).get("state") == "running"


def _reaction(status: Status) -> int | None:
    reaction: int | None = status.get("loop", {}).get("estop_reaction_cycles")
    return reaction


def _position(status: Status) -> float:
    """Return the position of the joint that the controller moves: that of the first state channel."""
    value = next(iter((status.get("state") or {}).values()), None)
    if value is None:
        raise CheckFailedError("the first state channel has no value: is the plant running?")
    return float(value)


async def _wait(session: Session, what: str, condition: Callable[[Status], bool]) -> Status:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        status = await session.target.status()
        if condition(status):
            return status
        if asyncio.get_running_loop().time() > deadline:
            raise CheckFailedError(
                f"waited {_PATIENCE_S:g} s in vain for {what}; the robot is {_described(status)}"
            )
        await asyncio.sleep(_POLL_S)


def _described(status: Status) -> str:
    control, safety = _control(status), status.get("safety") or {}
    controller = control.get("controller") or {}
    told = [f"mode {control.get('mode')}", f"controller {controller.get('state', 'none')}"]
    if controller.get("message"):
        told.append(str(controller["message"]))
    if control.get("stopped"):
        told.append(f"controlled stop: {control['stopped']}")
    if safety.get("latched"):
        told.append(f"e-stop {safety.get('cause')} {safety.get('reason', '')}".strip())
    told += control.get("arm_blockers") or []
    return ", ".join(map(str, told))


# --- steps -------------------------------------------------------------------------------------------------------


async def _until_armed(session: Session) -> None:
    """Arm as soon as nothing stands against it: first heartbeats and samples may be under way."""
    await _wait(session, "every reason against arming to go", lambda s: not _control(s).get("arm_blockers"))
    await session.target.arm()
    await _wait(session, "the controller to run", follows)


async def _observe_motion(session: Session, seconds: float) -> Status:
    """Watch the joint while the controller runs."""
    loop = asyncio.get_running_loop()
    begin, give_up = loop.time(), loop.time() + seconds + _PATIENCE_S
    first = await session.target.status()
    low = high = _position(first)
    while True:
        status = await session.target.status()
        if not follows(status):
            raise CheckFailedError(
                f"the robot stopped by itself while it should move: it is {_described(status)}"
            )
        low, high = min(low, _position(status)), max(high, _position(status))
        cycles = status["loop"]["cycles"] - first["loop"]["cycles"]
        if loop.time() - begin >= seconds and cycles >= _CYCLES and high - low > _MOVED:
            return status
        if loop.time() > give_up:
            raise CheckFailedError(f"within {cycles} cycles the joint moved by {high - low:.4f} only")
        await asyncio.sleep(_POLL_S)


async def _wait_for_motion(session: Session) -> None:
    start = _position(await session.target.status())
    await _wait(session, "the joint to move again", lambda s: abs(_position(s) - start) > _MOVED)


async def _stop(session: Session) -> int:
    """Press the operator's stop; returns the core's reaction in cycles once every drive holds still."""
    await session.target.estop("self-check of holdfast up")
    stopped = await _wait(session, "the core to obey the stop", lambda s: _reaction(s) is not None)
    await _check_safe_frames(session)
    reaction = _reaction(stopped)
    assert reaction is not None  # noqa: S101 - waited for
    return reaction


async def _check_safe_frames(session: Session) -> None:
    """Wait until the plant gets safe frames: complete ones, each cycle, that hold every drive still."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    before = (await session.plant())["drives"]
    while True:
        await asyncio.sleep(_POLL_S)
        drives = (await session.plant())["drives"]
        unsafe = [name for name, drive in drives.items() if not _is_safe(drive, before[name])]
        if not unsafe:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise CheckFailedError(f"after the stop these drives got no safe frames: {', '.join(unsafe)}")
        before = drives


def _is_safe(drive: dict[str, Any], before: dict[str, Any]) -> bool:
    still = abs(drive["velocity"]) < _STILL_VELOCITY and drive["input"] == before["input"]
    holds = drive["mode"] == "position" or drive["input"] == 0.0
    return bool(still and holds and drive["frames"] > before["frames"])


async def _check_refused(act: Callable[[], Any], what: str) -> None:
    try:
        await act()
    except RefusedError:
        return
    raise CheckFailedError(f"{what} was accepted")


async def _reset(session: Session) -> None:
    await session.target.reset()
    await _wait(
        session,
        "the core to see the reset",
        lambda s: not s["safety"]["latched"] and _control(s).get("mode") == "disarmed",
    )


async def _check_still(session: Session) -> None:
    """After a reset, with the controller loaded, nothing moves."""
    before = (await session.plant())["drives"]
    loop = asyncio.get_running_loop()
    end = loop.time() + _STILL_S
    while loop.time() < end:
        await asyncio.sleep(_POLL_S)
        for name, drive in (await session.plant())["drives"].items():
            if abs(drive["position"] - before[name]["position"]) > _STILL:
                raise CheckFailedError(f"drive {name} moved after the reset although nobody armed")
    mode = _control(await session.target.status()).get("mode")
    if mode != "disarmed":
        raise CheckFailedError(f"after the reset the mode is {mode}, not disarmed")
