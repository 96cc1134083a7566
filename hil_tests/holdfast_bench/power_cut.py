"""Scenario `power-cut`: the supply goes at random moments; the robot always boots and keeps what it acknowledged.

Each cut has a seed of its own, from which its kind and its moment are drawn:

writing     while one task after the other is given to the robot's own broker
deploying   while a controller is deployed through the hub
booting     while the robot starts

What was acknowledged before the cut must be there after it: every task is answered exactly once, the controller is
the last one that was acknowledged, or the one that was under way. QEMU is killed (SIGKILL) with disks that the host
does not cache, so that nothing survives that the guest had not flushed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from holdfast_bench.cuts import Cut, drawn_of, make_each
from holdfast_bench.facade import Power
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot, wait_until
from holdfast_image.build import repository_root

NAME = "power-cut"
COUNT = 200
_CONTROLLERS = ("sine.wat", "hold.wat", "constant.wat")
MOMENTS_S = {"writing": (0.2, 15.0), "deploying": (0.2, 20.0), "booting": (1.0, 60.0)}
"""Between which seconds after its beginning each kind is cut off; a boot takes nearly a minute, emulated."""


class Target(Protocol):
    """What the scenario needs of the bench."""

    robot: Robot
    """The robot under test."""

    @property
    def robot_id(self) -> str:
        """Its id in the fleet."""
        ...

    @property
    def power(self) -> Power:
        """Its power supply."""
        ...

    def wait_ready(self) -> float:
        """Wait until the robot is a member of the fleet; returns the seconds since power-on."""
        ...

    def request(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the robot's worker something through the hub."""
        ...

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        """Return every message that the fleet's stream holds from this robot, oldest first."""
        ...


@dataclass
class Ledger:
    """What the robot has acknowledged."""

    tasks: list[str] = field(default_factory=list)
    controller: str = ""
    """SHA-256 of the last one that was acknowledged."""
    under_way: str = ""
    """Of one that was sent and not acknowledged: it may be the active one, or not."""
    deployments: int = 0


def run(target: Target, count: int = COUNT, seed: int = 1, settle_limit_s: float = 600.0) -> dict[str, Any]:
    """Cut the power `count` times, with the seeds `seed`, `seed` + 1, ...; leaves the robot running.

    `settle_limit_s`: how long a robot that is ready again may take to load its controller and to answer its
    tasks.

    Raises:
        BenchError: it did not come back, or something was lost; names the seed that repeats it.
    """
    ledger = Ledger(controller=_active(target.robot))
    cuts = [Cut.drawn(seed + number, MOMENTS_S) for number in range(count)]

    def make(cut: Cut) -> float:
        _ACTIVITIES[cut.kind](target, cut, ledger)
        boot_s = target.wait_ready()
        _check(target, ledger, settle_limit_s)
        return boot_s

    def kept(boot_s: float) -> str:
        return (
            f"ready after {boot_s:.0f} s; {len(ledger.tasks)} tasks and {ledger.deployments} deployments kept"
        )

    boots_s = make_each(NAME, cuts, make, kept)
    return {
        **drawn_of(cuts, MOMENTS_S),
        "acknowledged": {"tasks": len(ledger.tasks), "deployments": ledger.deployments},
        "lost": 0,
        "boot_s": {"median": sorted(boots_s)[len(boots_s) // 2], "max": max(boots_s)},
    }


# --- what the robot does when the power goes; it is on again afterwards ------------------------------------------


def _write(target: Target, cut: Cut, ledger: Ledger) -> None:
    def give_tasks(over: threading.Event) -> None:
        number = 0
        while not over.is_set():
            name = f"cut-{cut.seed}-{number}"
            body = json.dumps({"id": name, "kind": "status_report", "requires": [], "args": {}})
            if not target.robot.ask("publish", f"holdfast.{target.robot_id}.task", body).get("ok"):
                return
            ledger.tasks.append(name)
            number += 1

    _until_cut(target, cut, give_tasks)


def _deploy(target: Target, cut: Cut, ledger: Ledger) -> None:
    def deploy(over: threading.Event) -> None:
        for number in range(len(_CONTROLLERS)):
            if over.is_set():
                return
            file = _source(_CONTROLLERS[(cut.seed + number) % len(_CONTROLLERS)])
            source = file.read_bytes()
            ledger.under_way = hashlib.sha256(source).hexdigest()
            body = {"name": file.stem, "version": "", "source_b64": base64.b64encode(source).decode()}
            if target.request("deploy", body).get("ok"):
                ledger.controller, ledger.under_way = ledger.under_way, ""
                ledger.deployments += 1

    _until_cut(target, cut, deploy)


def _boot(target: Target, cut: Cut, ledger: Ledger) -> None:
    target.power.cut()
    target.power.on()
    time.sleep(cut.after_s)
    target.power.cut()
    target.power.on()


_ACTIVITIES: dict[str, Callable[[Target, Cut, Ledger], None]] = {
    "writing": _write,
    "deploying": _deploy,
    "booting": _boot,
}


def _until_cut(target: Target, cut: Cut, activity: Callable[[threading.Event], None]) -> None:
    """Do something beside this thread, and take the power away at the moment of the cut."""
    over = threading.Event()

    def do() -> None:
        with contextlib.suppress(BenchError):  # nobody answers any more: that is the cut
            activity(over)

    doing = threading.Thread(target=do, name="activity", daemon=True)
    doing.start()
    time.sleep(cut.after_s)
    target.power.cut()
    over.set()
    target.power.on()
    doing.join()


def _source(name: str) -> Path:
    return repository_root() / "examples" / "controllers" / name


# --- what must be there afterwards -------------------------------------------------------------------------------


def _active(robot: Robot) -> str:
    """Return the SHA-256 of the core's controller, "" without one."""
    return str((robot.control()["controller"] or {}).get("sha256", ""))


def _check(target: Target, ledger: Ledger, settle_limit_s: float) -> None:
    robot = target.robot
    if (integrity := robot.ask("integrity")) != {"ok": True, "integrity_check": ["ok"]}:
        raise BenchError(f"the worker's database is damaged: {integrity}")
    # The worker loads it once it runs: a robot is a member of its fleet a moment before.
    expected = {ledger.controller} | ({ledger.under_way} if ledger.under_way else set())
    try:
        wait_until("the controller is loaded again", lambda: _active(robot) in expected, settle_limit_s)
    except BenchError as error:
        raise BenchError(
            f"{error}; it is {_active(robot) or 'none'}, not {ledger.controller or 'none'}"
        ) from None
    ledger.controller, ledger.under_way = _active(robot), ""
    wanted = set(ledger.tasks)

    def answered() -> list[Counter[str]]:
        results = Counter(str(message["id"]) for message in target.fleet_messages("FLEET_RESULTS"))
        return [results] if wanted <= results.keys() else []

    (results,) = wait_until("every acknowledged task is answered", answered, settle_limit_s)
    if twice := sorted(task for task in wanted if results[task] > 1):
        raise BenchError(f"answered more than once: {', '.join(twice)}")
    failed = robot.shell.run("systemctl list-units --failed --plain --no-legend").stdout.strip()
    if failed:
        raise BenchError(f"failed units: {failed}")
