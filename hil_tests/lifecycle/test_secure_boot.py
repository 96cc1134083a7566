"""Firmware with Secure Boot takes the owner's key, starts what is signed with it, and nothing else."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_bench.qemu import Vm
from holdfast_bench.qemu.saved_state import FIRMWARE_VARIABLES
from holdfast_bench.updates import Updated
from holdfast_image.build import Image, build_image, repository_root
from holdfast_image.progress import Steps
from holdfast_image.signing import Owner, sign_image

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
ROOT = repository_root(Path(__file__).parent)
LIMIT_S = 900.0
REFUSED = "Access Denied|Security Violation|Access denied|Security violation"
# Four bytes of attributes, then the value.
SECURE_BOOT = "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
MIDDLE_OF_KERNEL = 4 << 20


@pytest.fixture(scope="module")
def unsigned() -> Image:
    return build_image(ROOT)


@pytest.fixture(scope="module")
def robot(unsigned: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    """A robot whose firmware had no keys, with an image that its owner has signed."""
    folder = tmp_path_factory.mktemp("secure-boot")
    owner = Owner.make(folder, "owner")
    sign_image(unsigned.directory, folder / "signed", owner, Steps())
    signed = dataclasses.replace(unsigned, directory=folder / "signed")
    try:
        with Vm(signed, folder / "vm", secure_boot=True) as vm:
            vm.on()
            yield vm
    finally:
        shutil.rmtree(folder / "signed")


def test_firmware_takes_the_key_and_starts_what_is_signed(robot: Vm) -> None:
    robot.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert robot.shell.run(SECURE_BOOT).stdout.split() == ["1"]


def test_what_is_not_signed_does_not_start(robot: Vm, unsigned: Image, tmp_path: Path) -> None:
    with Vm(unsigned, tmp_path / "vm", secure_boot=True) as other:
        shutil.copyfile(robot.folder / FIRMWARE_VARIABLES, other.folder / FIRMWARE_VARIABLES)
        other.on()
        other.console.wait_for(REFUSED, LIMIT_S)
        assert "Linux version" not in other.console.text()


def test_a_changed_kernel_does_not_start(robot: Vm) -> None:
    (unified,) = robot.shell.run("ls $(bootctl --print-esp-path)/EFI/Linux/holdfast_*.efi").stdout.split()
    Updated(robot.shell).flip(unified, MIDDLE_OF_KERNEL)
    robot.shell.run("sync")
    robot.cut()
    robot.on()
    robot.console.wait_for(REFUSED, LIMIT_S)
