"""When a version on trial is taken for healthy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.errors import UnreachableError
from holdfast_image.guest.health import HEALTHY_S, OWN_FAULTS, Trial, until_healthy

Status = dict[str, Any]


def control(cycle: int, boot: int = 1) -> Status:
    return {"boot_id": boot, "cycle": cycle}


def safety(standing: str = "none", core: bool = True, worker: bool = True) -> Status:
    return {"standing": standing, "core": {"attached": core}, "worker": {"attached": worker}}


def test_time_counts_from_the_second_look() -> None:
    trial = Trial()
    assert trial.see(control(1), safety(), 0.0) == "the core has just started"
    assert trial.see(control(2), safety(), 1.0) is None
    assert trial.see(control(3), safety(), 5.0) is None
    assert trial.healthy_for_s(5.0) == 4.0


@pytest.mark.parametrize(
    ("core", "guard", "wrong"),
    [
        (control(9, 2), safety(), "just started"),
        (control(2), safety(), "stands still"),
        (control(9), safety(core=False), "does not see the core"),
        (control(9), safety(worker=False), "does not see the worker"),
        *[(control(9), safety(cause), cause) for cause in sorted(OWN_FAULTS)],
    ],
)
def test_what_is_wrong_begins_the_time_anew(core: Status, guard: Status, wrong: str) -> None:
    trial = Trial()
    trial.see(control(1), safety(), 0.0)
    trial.see(control(2), safety(), 1.0)
    assert wrong in str(trial.see(core, guard, 2.0))
    assert trial.healthy_for_s(2.0) == 0.0


@pytest.mark.parametrize("cause", ["estop_line", "operator", "drive_fault", "temperature"])
def test_a_stop_that_comes_from_outside_is_no_fault_of_the_version(cause: str) -> None:
    trial = Trial()
    trial.see(control(1), safety(cause), 0.0)
    assert trial.see(control(2), safety(cause), 1.0) is None


def test_it_looks_until_all_is_well() -> None:
    now, cycle, said = 0.0, 0, list[str]()

    async def daemon(name: str) -> Status:
        nonlocal cycle
        cycle += 1
        if now < 6.0:
            raise UnreachableError("nobody listens there")
        return control(cycle) if name == "control.sock" else safety()

    async def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    asyncio.run(until_healthy(daemon, said.append, lambda: now, pause))
    assert said == ["nobody listens there", "the core has just started"]
    assert now >= 6.0 + HEALTHY_S
