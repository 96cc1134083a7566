"""Signed updates on the booted image: taken, proved, rolled back, and refused when they are not what they should be."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holdfast_bench.robot import wait_until
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet", "simulated-drives")

CONTROLLERS = Path(__file__).parent / "controllers"
TRUST = "/etc/holdfast/ota/root.json"
STATE = "/var/lib/holdfast/ota"
RUNNING = "moving.wat"
TRAPS = "late_trap.wat"


def _ota(*arguments: str) -> dict[str, Any]:
    """Use the publisher's command line as a person would."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.cli", "ota", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"holdfast ota {' '.join(arguments)}: {done.stdout} {done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Fleet:
    """A publisher and the robot that follows it."""

    def __init__(self, bench: VmBench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder

    def first_repository(self) -> Path:
        """Make a trusted repository for a robot that has never followed one.

        What it committed in an earlier test is forgotten: on a bench with one robot all tests share it.
        """
        return self.new_repository("fleet", trusted=True, forgets=STATE)

    def new_repository(
        self, name: str, *, trusted: bool, forgets: str = f"{STATE}/metadata", options: tuple[str, ...] = ()
    ) -> Path:
        """Make a repository with keys of its own and empty what robots read; `trusted`: the robot knows its root.

        A robot that is to trust another root forgets the metadata of the last one, or what else is named.
        """
        directory = self.folder / name
        _ota("init", str(directory), *options)
        self.bench.delete_bucket("holdfast-ota")
        if trusted:
            root = base64.b64encode((directory / "repository/metadata/1.root.json").read_bytes()).decode()
            self.bench.robot.shell.run(
                f"install -d {Path(TRUST).parent} && echo {root} | base64 -d > {TRUST}"
                f" && systemctl stop holdfast-worker && rm -rf {forgets}"
                " && systemctl start holdfast.target"
            )
            self.bench.wait_ready()
        return directory

    def publish(self, directory: Path, controller: str, version: str) -> None:
        """Sign a controller and mirror it to the hub."""
        self.sign(directory, controller, version)
        self.mirror(directory)

    def sign(self, directory: Path, controller: str, version: str) -> None:
        """Sign a controller; robots do not see it yet."""
        _ota(
            *("publish", "controller", str(CONTROLLERS / controller), "--dir", str(directory)),
            *("--name", "motion", "--version", version),
        )

    def mirror(self, directory: Path) -> None:
        """Copy the repository to the hub."""
        _ota("mirror", str(directory), "--to", self.bench.hub_url)

    def check(self) -> dict[str, Any]:
        """Have the robot look for an update now."""
        return self.bench.request("ota.check", {})

    def until(self, **wanted: str) -> dict[str, Any]:
        """Have the robot look until its answer has these values."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.clear()
            seen.update(self.check())
            return all(seen.get(key) == value for key, value in wanted.items())

        try:
            wait_until(f"the robot answers {wanted}", reached)
        except Exception as error:
            raise AssertionError(f"{error}; its last answer: {seen}") from None
        return seen

    def robot_time(self) -> datetime:
        """Return what the robot's clock shows."""
        return datetime.fromtimestamp(float(self.bench.robot.shell.run("date +%s.%N").stdout), UTC)

    def active(self) -> dict[str, Any]:
        """Return the core's controller."""
        controller: dict[str, Any] = self.bench.robot.control()["controller"]
        return controller

    def is_known_good(self) -> bool:
        """Whether what runs is what the core would go back to."""
        status = self.bench.robot.control()
        good = status["lifecycle"]["last_known_good"]
        return good is not None and good["sha256"] == status["controller"]["sha256"]


@pytest.fixture
def fleet(bench: VmBench, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(bench, tmp_path)
    yield made
    bench.robot.holdfast("robot", "disarm")


def _commit_version_one(fleet: Fleet, directory: Path, *, until_known_good: bool = False) -> None:
    fleet.publish(directory, RUNNING, "1")
    fleet.until(state="watching")
    fleet.bench.robot.arm()
    fleet.until(state="current")
    if until_known_good:
        wait_until("the core goes back to version 1 if need be", fleet.is_known_good)
    fleet.bench.robot.disarm()


@pytest.mark.expect_fault("controller_traps", reason="version 2 traps")
@pytest.mark.expect_fault("rollbacks", reason="the version before it takes its place")
@pytest.mark.expect_fault("^controller: |the controller .* failed at tick", reason="core and worker say so")
def test_a_trap_in_the_health_window_rolls_back_and_nothing_moves(fleet: Fleet) -> None:
    directory = fleet.first_repository()
    _commit_version_one(fleet, directory, until_known_good=True)
    good = fleet.active()
    assert good["name"] == "motion"

    fleet.publish(directory, TRAPS, "2")
    fleet.until(state="watching")
    assert fleet.active()["sha256"] != good["sha256"]
    fleet.bench.robot.arm()
    wait_until("the version before it is loaded again", lambda: fleet.active()["sha256"] == good["sha256"])
    fleet.until(reason="bad-version")
    assert fleet.bench.robot.control()["mode"] == "disarmed"
    fleet.bench.robot.prove_standstill()


def test_an_older_target_is_refused(fleet: Fleet) -> None:
    _commit_version_one(fleet, fleet.first_repository())
    directory = fleet.new_repository("older", trusted=True)
    before = fleet.active()
    fleet.publish(directory, RUNNING, "0.9")
    answer = fleet.until(reason="older")
    assert "0.9" in answer["sentence"]
    assert fleet.active()["generation"] == before["generation"]


def test_an_unsigned_target_is_refused(fleet: Fleet) -> None:
    _commit_version_one(fleet, fleet.first_repository())
    before = fleet.active()
    attacker = fleet.new_repository("attacker", trusted=False)
    fleet.publish(attacker, RUNNING, "9")
    fleet.until(reason="unsigned")
    assert fleet.active()["generation"] == before["generation"]


def test_an_expired_target_is_refused(fleet: Fleet) -> None:
    _commit_version_one(fleet, fleet.first_repository())
    directory = fleet.new_repository("expired", trusted=True, options=("--timestamp-days", "0.0001"))
    before = fleet.active()
    fleet.sign(directory, RUNNING, "9")
    signed = json.loads((directory / "repository/metadata/timestamp.json").read_text())["signed"]
    expires = datetime.fromisoformat(signed["expires"])
    # By the robot's clock: an emulated one goes slower than this machine's.
    wait_until("the timestamp has expired", lambda: fleet.robot_time() > expires)
    fleet.mirror(directory)
    answer = fleet.until(reason="expired")
    assert "holdfast ota refresh" in answer["sentence"]
    assert fleet.active()["generation"] == before["generation"]
