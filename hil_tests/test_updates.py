"""A robot gets new versions: one that is damaged, one whose core does not run, one that works.

All three are the same build under different version numbers, so that one more image is built and not three.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.qemu import Vm
from holdfast_bench.robot import wait_until
from holdfast_bench.vm_session import HOST_FROM_INSIDE, SLOWER
from holdfast_image.build import build_image, release_version, repository_root
from holdfast_image.guest.install import LIST
from holdfast_image.payload import FOLDER

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
ROOT = repository_root(Path(__file__).parent)
BOOT_LIMIT_S = 900.0
TRIALS_LIMIT_S = 2400.0
# An emulated machine takes that long until its loop has run for a while.
TRIAL_S = 240


@dataclass
class Robot:
    """The robot under test and the workstation's folder with what it is to install."""

    vm: Vm
    folder: Path

    def status(self) -> dict[str, Any]:
        """Return what `holdfast os status` says."""
        return dict(json.loads(self.vm.shell.run("holdfast os status --json", limit_s=300.0).stdout))

    def running(self) -> str:
        """Return the version that runs."""
        return str(next(found["version"] for found in self.status()["versions"] if found["running"]))

    def install(self, version: str) -> dict[str, Any]:
        """Fetch a version and install it."""
        files = " ".join(file.name for file in (self.folder / version).iterdir())
        with served(self.folder / version) as url:
            self.vm.shell.run(
                "rm -rf /var/tmp/update && mkdir /var/tmp/update && cd /var/tmp/update && "
                f"for file in {files}; do {FETCH} {url}/$file $file; done",
                limit_s=900.0,
            )
        done = self.vm.shell.run("holdfast os install /var/tmp/update --json", check=False, limit_s=900.0)
        return dict(json.loads(done.stdout))

    def reboot(self) -> None:
        """Reboot, and wait until the robot has settled on a version: each boot that fails is one of its own."""
        self.vm.shell.run("systemctl reboot", check=False)

    def settled(self) -> bool:
        """Tell whether the version that runs has proved itself, now or earlier."""
        done = self.vm.shell.run("holdfast os status --json", check=False, limit_s=300.0)
        if done.returncode != 0:
            return False
        return any(
            found["running"] and found["tries_left"] is None for found in json.loads(done.stdout)["versions"]
        )


SUPERBLOCK = 1024 + 64
"""Read at every boot."""
FLIP = (
    'import sys; file = open(sys.argv[1], "r+b", 0); place = int(sys.argv[2]); file.seek(place); '
    "byte = file.read(1)[0]; file.seek(place); file.write(bytes([byte ^ 1]))"
)
FETCH = (
    "/usr/lib/holdfast/bin/python -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])'"
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to the robot; over ssh an emulated one would take minutes to decrypt it."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST_FROM_INSIDE}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def as_version(build: Path, target: Path, built: str, version: str, flip: bool = False) -> None:
    """Lay out the build `built` under another version, with one bit of its root flipped or none."""
    target.mkdir(parents=True)
    told = json.loads((build / LIST).read_text())
    sums = {}
    for name in told["sha256"]:
        file = target / name.replace(f"_{built}.", f"_{version}.")
        if flip and ".root." in name:
            shutil.copyfile(build / name, file)
            with file.open("r+b") as stream:
                stream.seek(SUPERBLOCK)
                byte = stream.read(1)[0]
                stream.seek(-1, os.SEEK_CUR)
                stream.write(bytes([byte ^ 1]))
        else:
            os.link(build / name, file)
        with file.open("rb") as stream:
            sums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    (target / LIST).write_text(json.dumps(told | {"version": version, "sha256": sums}))


@pytest.fixture(scope="module")
def versions() -> tuple[str, str, str, str]:
    """The version that runs at first, and three newer ones; the last is the one that is built."""
    first = release_version(ROOT)
    major, minor, patch = map(int, first.split("."))
    damaged, broken, good = (f"{major}.{minor}.{patch + more}" for more in (1, 2, 3))
    return first, damaged, broken, good


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, versions: tuple[str, str, str, str]) -> Iterator[Robot]:
    _, damaged, broken, good = versions
    first, second = build_image(ROOT), build_image(ROOT, release=good)
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
                yield Robot(vm, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def until_settled(robot: Robot) -> str:
    """Reboot into what was installed; return the version that the robot settles on."""
    boot = robot.vm.shell.run("cat /proc/sys/kernel/random/boot_id").stdout

    def over() -> bool:
        now = robot.vm.shell.run("cat /proc/sys/kernel/random/boot_id", check=False)
        return now.returncode == 0 and now.stdout != boot and robot.settled()

    robot.reboot()
    wait_until("the robot has settled on a version", over, TRIALS_LIMIT_S)
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
    assert robot.install(damaged) == {"ok": True, "version": damaged}
    assert until_settled(robot) == first
    refused = robot.install(damaged)
    assert not refused["ok"]
    assert "has failed on this robot" in refused["error"]


def test_a_version_whose_core_does_not_run_gives_way_too(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, broken, good = versions
    # In /etc, which all versions share: the core starts only where the version is another one than that.
    robot.vm.shell.run(
        "mkdir -p /etc/systemd/system/holdfast-{control,healthy}.service.d && "
        f"printf '[Service]\\nExecStartPre=/bin/sh -c \"! grep -q IMAGE_VERSION.*{good} /usr/lib/os-release\"\\n'"
        " > /etc/systemd/system/holdfast-control.service.d/broken.conf && "
        f"printf '[Service]\\nTimeoutStartSec={TRIAL_S}\\n' > "
        "/etc/systemd/system/holdfast-healthy.service.d/zz-short.conf && sync"
    )
    assert robot.install(broken) == {"ok": True, "version": broken}
    assert until_settled(robot) == first
    (left,) = [found for found in robot.status()["versions"] if found["version"] == broken]
    assert left["tries_left"] == 0
    robot.vm.shell.run("rm -r /etc/systemd/system/holdfast-{control,healthy}.service.d && sync")


def test_a_version_that_works_stays(robot: Robot, versions: tuple[str, str, str, str]) -> None:
    first, damaged, broken, good = versions
    machine = robot.vm.shell.run("cat /etc/machine-id").stdout
    robot.vm.shell.run("echo kept > /etc/holdfast/kept && sync")
    assert robot.install(good) == {"ok": True, "version": good}
    assert until_settled(robot) == good
    status = robot.status()
    assert {found["version"] for found in status["versions"]} == {first, good}
    assert status["bad"].keys() == {damaged, broken}
    assert robot.vm.shell.run("cat /etc/machine-id /etc/holdfast/kept").stdout == f"{machine}kept\n"


def test_a_version_whose_slot_is_damaged_later_gives_way_and_can_be_installed_again(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, _, good = versions
    robot.vm.shell.run(
        f"/usr/lib/holdfast/bin/python -c '{FLIP}' /dev/disk/by-partlabel/holdfast_{good} {SUPERBLOCK}"
    )
    assert until_settled(robot) == first
    assert robot.status()["damaged"] == [good]
    assert good not in robot.status()["bad"]
    assert robot.install(good) == {"ok": True, "version": good}
    assert until_settled(robot) == good
    assert robot.status()["damaged"] == []


def test_a_version_marked_bad_gives_way_to_the_one_before(
    robot: Robot, versions: tuple[str, str, str, str]
) -> None:
    first, _, _, good = versions
    robot.vm.shell.run(f"holdfast os bad {good}", limit_s=300.0)
    assert until_settled(robot) == first
