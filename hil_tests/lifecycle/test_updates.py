"""A robot gets new versions: one that is damaged, one whose core does not run, one that works.

All three are the same build under different version numbers, so that one more image is built and not three.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.qemu import Vm
from holdfast_bench.robot import wait_until
from holdfast_bench.selection import BENCH
from holdfast_bench.updates import SUPERBLOCK, Updated, as_version, next_version
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import build_image, release_version, repository_root
from holdfast_image.payload import FOLDER

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
ROOT = repository_root(Path(__file__).parent)
BOOT_LIMIT_S = 900.0
TRIALS_LIMIT_S = 2400.0
# An emulated machine takes that long until its loop has run for a while.
TRIAL_S = 240


@dataclass
class Robot(Updated):
    """The robot under test and the workstation's folder with what it is to install."""

    folder: Path
    vm: Vm

    def reboot(self) -> None:
        self.shell.run("systemctl reboot", check=False)

    def lose_power(self) -> None:
        self.vm.cut()
        self.vm.on()

    def get(self, version: str) -> dict[str, Any]:
        """Fetch a version and install it."""
        return self.install_from(self.folder / version)


@pytest.fixture(scope="module")
def versions() -> tuple[str, str, str, str]:
    """The version that runs at first, and three newer ones; the last is the one that is built."""
    first = release_version(ROOT)
    damaged, broken, good = (next_version(first, more) for more in (1, 2, 3))
    return first, damaged, broken, good


@pytest.fixture(scope="module")
def robot(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    versions: tuple[str, str, str, str],
) -> Iterator[Robot]:
    _, damaged, broken, good = versions
    board = pytestconfig.stash[BENCH].board
    first, second = build_image(ROOT, board), build_image(ROOT, board, release=good)
    folder = second.directory / "trials"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with second.in_use():
            as_version(second.directory / FOLDER, folder / damaged, good, damaged, flip=True)
            as_version(second.directory / FOLDER, folder / broken, good, broken)
            as_version(second.directory / FOLDER, folder / good, good, good)
            credentials = {"holdfast.env": env_lines(RELAXED | SLOWER)}
            with Vm(first, tmp_path_factory.mktemp("updates") / "vm", credentials=credentials) as vm:
                vm.on()
                vm.wait_for_unit("boot-complete.target", BOOT_LIMIT_S)
                yield Robot(vm.shell, folder, vm)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def until_settled(robot: Robot, restart: Callable[[Robot], None] = Robot.reboot) -> str:
    """Start what was installed; return the version that the robot settles on."""
    before = robot.boot_id()

    def over() -> bool:
        return robot.boot_id() not in ("", before) and robot.settled()

    restart(robot)
    wait_until("the robot has settled on a version", over, TRIALS_LIMIT_S)
    wait_until("this start is known to have come to its end", robot.started, BOOT_LIMIT_S)
    return robot.running()


def test_the_first_version_proves_itself_and_that_the_boot_loader_counts(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    wait_until("the counter is taken off", robot.settled, BOOT_LIMIT_S)
    assert robot.status()["versions"] == [{"version": versions[0], "running": True, "tries_left": None}]
    assert robot.status()["boot_loader_counts"]


def test_a_damaged_root_gives_way_to_the_version_before(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, damaged, _, _ = versions
    assert robot.get(damaged) == {"ok": True, "version": damaged}
    assert until_settled(robot) == first
    refused = robot.get(damaged)
    assert not refused["ok"]
    assert "has failed on this robot" in refused["error"]


def test_a_version_whose_core_does_not_run_gives_way_too(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, broken, good = versions
    # In /etc, which all versions share: the core starts only where the version is another one than that.
    robot.shell.run(
        "mkdir -p /etc/systemd/system/holdfast-{control,healthy}.service.d && "
        f"printf '[Service]\\nExecStartPre=/bin/sh -c \"! grep -q IMAGE_VERSION.*{good} /usr/lib/os-release\"\\n'"
        " > /etc/systemd/system/holdfast-control.service.d/broken.conf && "
        f"printf '[Service]\\nTimeoutStartSec={TRIAL_S}\\n' > "
        "/etc/systemd/system/holdfast-healthy.service.d/zz-short.conf && sync"
    )
    assert robot.get(broken) == {"ok": True, "version": broken}
    assert until_settled(robot) == first
    (left,) = [found for found in robot.status()["versions"] if found["version"] == broken]
    assert left["tries_left"] == 0
    robot.shell.run("rm -r /etc/systemd/system/holdfast-{control,healthy}.service.d && sync")


def test_a_version_that_works_stays(robot: Robot, versions: tuple[str, str, str, str]) -> None:
    first, damaged, broken, good = versions
    machine = robot.shell.run("cat /etc/machine-id").stdout
    robot.shell.run("echo kept > /etc/holdfast/kept && sync")
    assert robot.get(good) == {"ok": True, "version": good}
    # What it says it has installed is on its drive.
    assert until_settled(robot, Robot.lose_power) == good
    status = robot.status()
    assert {found["version"] for found in status["versions"]} == {first, good}
    assert status["bad"].keys() == {damaged, broken}
    assert robot.shell.run("cat /etc/machine-id /etc/holdfast/kept").stdout == f"{machine}kept\n"


def test_a_version_whose_slot_is_damaged_later_gives_way_and_can_be_installed_again(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, _, good = versions
    robot.flip(f"/dev/disk/by-partlabel/holdfast_{good}", SUPERBLOCK)
    assert until_settled(robot) == first
    assert robot.status()["damaged"] == [good]
    assert good not in robot.status()["bad"]
    assert robot.get(good) == {"ok": True, "version": good}
    assert until_settled(robot) == good
    assert robot.status()["damaged"] == []


def test_a_version_marked_bad_gives_way_to_the_one_before(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, _, good = versions
    robot.shell.run(f"holdfast os bad {good}", limit_s=300.0)
    assert until_settled(robot) == first
