"""The script of U-Boot, run by Debian's U-Boot on QEMU's `virt`: what it starts, in which order, and that it counts.

The unified kernel images are missing here or no programs, so that it comes to its end; what it does about each is a
line on its console.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast_image.boards import ARM64
from holdfast_image.build import repository_root
from holdfast_image.builder import Builder, ensure_builder
from holdfast_image.cache import cache_directory
from holdfast_image.guest.firstboot import SECTOR_BYTES
from holdfast_image.guest.u_boot import UBoot, crc_of, tries_file, versions_file
from holdfast_image.mirror import host_mirror
from holdfast_image.namespace import Bind, run_in_builder

pytestmark = pytest.mark.vm
SCRIPT = "image/mkosi.profiles/u-boot/boot.cmd"
U_BOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
FIRST_SECTOR, SECTORS = 2048, 131072
MAKE_DISK = f"""
set -e
mkimage -q -A arm64 -T script -C none -n Holdfast -d /hf/boot.cmd /hf/folder/esp/boot.scr
truncate -s {SECTORS * 512} fat.raw
mkfs.vfat -F 32 fat.raw
mcopy -i fat.raw -s esp/* ::/
truncate -s {(SECTORS + 2 * FIRST_SECTOR) * 512} disk.raw
printf 'label: gpt\\nstart={FIRST_SECTOR},size={SECTORS},type=uefi\\n' | sfdisk --quiet disk.raw
dd if=fat.raw of=disk.raw bs=512 seek={FIRST_SECTOR} conv=notrunc status=none
"""
READ_DISK = f"""
set -e
dd if=disk.raw of=fat.raw bs=512 skip={FIRST_SECTOR} count={SECTORS} status=none
mcopy -n -o -i fat.raw ::/EFI/holdfast/tries.env after.env
"""


@dataclass
class Drive:
    """A folder that becomes the EFI system partition of a drive."""

    builder: Builder
    folder: Path

    def boot(self, read_only: bool = False) -> list[str]:
        """Boot once and return what U-Boot did about each version, in its order."""
        self._run(["sh", "-c", MAKE_DISK], "making the drive")
        disk = f"if=none,id=disk,file=disk.raw,format=raw,readonly={'on' if read_only else 'off'}"
        console = self.folder / "console.log"
        console.unlink(missing_ok=True)
        self._run(
            [
                *(
                    "qemu-system-aarch64",
                    "-machine",
                    "virt",
                    "-cpu",
                    "cortex-a76",
                    "-m",
                    "2048",
                    "-nodefaults",
                ),
                *("-display", "none", "-bios", U_BOOT, "-serial", "file:console.log", "-no-reboot"),
                *(
                    "-drive",
                    disk,
                    "-device",
                    "virtio-blk-pci,drive=disk",
                ),
            ],
            "booting",
        )
        said = console.read_text(errors="replace")
        return re.findall(r"^Holdfast: (starting .*?|.* is damaged|there is no .*?)\r?$", said, re.MULTILINE)

    def tries_afterwards(self) -> str:
        """Return the file of tries as that boot left it."""
        self._run(["sh", "-c", READ_DISK], "reading the drive")
        return (self.folder / "after.env").read_text()

    def _run(self, command: list[str], what: str) -> None:
        script = repository_root() / SCRIPT
        binds = [Bind(self.folder, "/hf/folder", writable=True), Bind(script, "/hf/boot.cmd")]
        run_in_builder(
            self.builder.tree, command, binds, log=self.folder / "log", what=what, workdir="/hf/folder"
        )


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    log = tmp_path_factory.mktemp("builder") / "log"
    log.touch()
    return ensure_builder(cache_directory(), host_mirror(), ARM64, log, lambda: None)


@pytest.fixture
def drive(builder: Builder, tmp_path: Path) -> Drive:
    for folder in ("EFI/holdfast", "EFI/Linux"):
        (tmp_path / "esp" / folder).mkdir(parents=True)
    return Drive(builder, tmp_path)


def lay_out(drive: Drive, versions: str, tries: str | None) -> None:
    notes = drive.folder / "esp/EFI/holdfast"
    (notes / "versions.env").write_text(versions)
    if tries is not None:
        (notes / "tries.env").write_text(tries)


def kernel(drive: Drive, version: str) -> Path:
    return drive.folder / f"esp/EFI/Linux/holdfast_{version}.efi"


def went_for(*versions: str) -> list[str]:
    return [f"there is no {version}" for version in versions]


ALL = versions_file(good="1.0.0", before="0.9.0", trial="1.1.0")


def test_a_trial_comes_first_and_a_try_is_taken_off_before(drive: Drive) -> None:
    lay_out(drive, ALL, tries_file("1.1.0", 3))
    assert drive.boot() == went_for("1.1.0", "1.0.0", "0.9.0")
    counted = drive.tries_afterwards()
    assert counted == tries_file("1.1.0", 2)
    assert len(counted) == SECTOR_BYTES


def test_the_robot_reads_what_u_boot_has_counted(drive: Drive) -> None:
    lay_out(drive, ALL, tries_file("1.1.0", 3))
    drive.boot()
    esp = drive.folder / "esp"
    (esp / "EFI/holdfast/tries.env").write_text(drive.tries_afterwards())
    (esp / "EFI/Linux/holdfast_1.1.0.efi").write_text("a kernel")
    loader = UBoot("1.1.0", esp)
    assert loader.counts()
    assert [found.tries_left for found in loader.installed()] == [2]


@pytest.mark.parametrize(
    "tries",
    [tries_file("1.1.0", 0), tries_file("1.2.0", 3), None, "", "tries=many\ntries_of=1.1.0\n", "tries=3\n"],
    ids=["used up", "of another version", "no file", "empty", "no number", "cut short"],
)
def test_what_has_no_tries_is_not_tried(drive: Drive, tries: str | None) -> None:
    lay_out(drive, ALL, tries)
    assert drive.boot() == went_for("1.0.0", "0.9.0")


def test_what_cannot_be_counted_is_not_tried(drive: Drive) -> None:
    lay_out(drive, ALL, tries_file("1.1.0", 3))
    assert drive.boot(read_only=True) == went_for("1.0.0", "0.9.0")


def test_without_a_trial_nothing_is_counted(drive: Drive) -> None:
    lay_out(drive, versions_file(good="1.0.0", before="0.9.0"), tries_file("1.1.0", 3))
    assert drive.boot() == went_for("1.0.0", "0.9.0")
    assert drive.tries_afterwards() == tries_file("1.1.0", 3)


def test_what_a_power_cut_left_under_its_first_name_is_read(drive: Drive) -> None:
    lay_out(drive, ALL, tries_file("1.1.0", 0))
    notes = drive.folder / "esp/EFI/holdfast"
    (notes / "versions.env").rename(notes / "versions.env.partial")
    assert drive.boot() == went_for("1.0.0", "0.9.0")
    (notes / "versions.env").write_text("trial=1.1.0\n")
    assert drive.boot() == went_for("1.0.0", "0.9.0")


def test_what_is_no_program_is_passed_over(drive: Drive) -> None:
    lay_out(drive, ALL, tries_file("1.1.0", 1))
    for version, content in (("1.1.0", b"no program"), ("1.0.0", b"MZ" + bytes(4096))):
        kernel(drive, version).write_bytes(content)
    assert drive.boot() == ["starting 1.1.0", "starting 1.0.0", "there is no 0.9.0"]


def test_a_kernel_image_is_started_only_if_it_is_what_was_noted_down(drive: Drive) -> None:
    for version in ("1.1.0", "1.0.0", "0.9.0"):
        kernel(drive, version).write_bytes(b"no program, but whole " + version.encode())
    noted = {"good_crc": crc_of(kernel(drive, "1.0.0")), "before_crc": crc_of(kernel(drive, "0.9.0"))}
    versions = versions_file(trial="1.1.0", trial_crc="00000001", good="1.0.0", before="0.9.0", **noted)
    lay_out(drive, versions, tries_file("1.1.0", 3))
    with kernel(drive, "1.0.0").open("r+b") as file:
        file.write(b"N")
    assert drive.boot() == ["1.1.0 is damaged", "1.0.0 is damaged", "starting 0.9.0"]
