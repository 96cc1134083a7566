"""Another drive with Holdfast on it is plugged in at power-on: the robot takes its own, or waits."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.data_partition import data_partition
from holdfast_bench.flashed_drive import DRIVE_BYTES
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import Image, build_image, repository_root
from holdfast_image.disk_image import BLOCK_BYTES, name_esp
from holdfast_image.payload import sha256_of

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
LIMIT_S = 900.0
STORED = "/var/lib/holdfast/stored"
DATA = "holdfast-data"
# Drives of other robots with the same version: as they are flashed, and one that somebody has copied with all ids.
FLASHED, COPIED = "flashed.raw", "copied.raw"


def used_drive(image: Image, drive: Path) -> None:
    """Write the drive of another robot: with data and a robot.toml of its own."""
    shutil.copyfile(image.directory / "image.raw", drive)
    with drive.open("r+b") as file:
        file.truncate(DRIVE_BYTES)
        if drive.name == FLASHED:
            head = file.read(BLOCK_BYTES)
            file.seek(0)
            file.write(name_esp(head, uuid.uuid4()))
    table = ["sfdisk", "--append", "--wipe=never", str(drive)]
    subprocess.run(table, input=f'name="{DATA}"\n', text=True, check=True)
    data = data_partition(drive)
    assert data is not None
    files = drive.with_suffix("")
    for path in (STORED.removeprefix("/var/"), "lib/overlay/etc/holdfast/robot.toml"):
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text("another robot's")
    place = (f"offset={data.offset_bytes}", str(drive), f"{data.size_bytes >> 10}k")
    options = ["-q", "-F", "-d", str(files), "-E", *place]
    subprocess.run(["mkfs.ext4", *options], check=True)


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    """A robot that was never switched on, and drives of others beside it."""
    image = build_image(repository_root(Path(__file__).parent))
    folder = tmp_path_factory.mktemp("second-drive")
    credentials = {"holdfast.env": env_lines(RELAXED | SLOWER), "holdfast.robot-id": "arm-42"}
    with Vm(image, folder / "vm", credentials=credentials) as vm:
        for drive in (FLASHED, COPIED):
            used_drive(image, vm.folder / drive)
        yield vm


def is_its_own(vm: Vm) -> bool:
    """Tell whether versions, data and robot.toml are those of the drive that the root is on."""
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    root = vm.shell.run("bootctl --print-root-device --print-root-device").stdout.strip()
    # The EFI system partition is mounted when somebody looks into it.
    sources = "ls $(bootctl --print-esp-path) >/dev/null; findmnt -no SOURCE /var; findmnt -nt vfat -o SOURCE"
    used = {
        vm.shell.run(f"lsblk -nrpo PKNAME {source}").stdout.strip()
        for source in vm.shell.run(sources).stdout.split()
    }
    return used == {root} and 'id = "arm-42"' in vm.shell.run("cat /etc/holdfast/robot.toml").stdout


def test_a_first_start_makes_data_of_its_own_beside_those_of_another_robot(vm: Vm) -> None:
    before = sha256_of(vm.folder / FLASHED)
    vm.second_drive = FLASHED
    vm.on()
    assert is_its_own(vm)
    assert DATA in vm.shell.run("lsblk -nro PARTLABEL /dev/sda").stdout.split(), "the other drive is seen"
    assert vm.shell.run(f"ls {STORED}", check=False).stdout == ""
    vm.shell.run(f"echo mine > {STORED} && sync")
    vm.cut()
    assert sha256_of(vm.folder / FLASHED) == before


def test_beside_a_copy_of_its_drive_it_waits_until_one_is_taken_out(vm: Vm) -> None:
    before = sha256_of(vm.folder / COPIED)
    vm.second_drive = COPIED
    vm.command_line = "systemd.default_device_timeout_sec=60"
    vm.on()
    vm.console.wait_for("waiting: the drives sda vda cannot be told apart", LIMIT_S)
    # Longer than a drive that is missing may take: nothing gives up meanwhile.
    vm.console.wait_for(r"\(1min 1\ds / no limit\)", LIMIT_S)
    vm.unplug_second_drive()
    assert is_its_own(vm)
    assert vm.shell.run(f"cat {STORED}").stdout == "mine\n"
    vm.cut()
    assert sha256_of(vm.folder / COPIED) == before
