"""An update write by write: what a boot loader finds on a small drive with a real partition table and a real FAT."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast_bench.bootable import (
    Drive,
    NotBootable,
    Version,
    files_of,
    may_hold,
    partitions_of,
    system_partition,
)
from holdfast_bench.result import BenchError
from holdfast_bench.update_writes import Recording, judge
from holdfast_image.boards import AMD64
from holdfast_image.build import Image
from holdfast_image.builder import Builder
from holdfast_image.payload import FOLDER

MIB = 1 << 20
SECTOR = 512
SIZE = 32 * MIB
ESP_BYTES = 8 * MIB
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
IDS = {
    "1.2.0": "11111111-0000-4000-8000-000000000000",
    "1.2.1": "22222222-0000-4000-8000-000000000000",
}
OLD, NEW = "EFI/Linux/holdfast_1.2.0.efi", "EFI/Linux/holdfast_1.2.1+3.efi"
LOADER = "EFI/BOOT/BOOTX64.EFI"
SETTINGS = "loader/loader.conf"
FLUSHED = struct.pack("<QQQQ", 0, 0, 1, 0).ljust(SECTOR, b"\0")
_WRITE_BYTES = 64 << 10
Write = tuple[int, bytes]


def payload(folder: Path, version: str) -> Path:
    """Lay out a version as a build does."""
    folder.mkdir(parents=True)
    (folder / f"holdfast_{version}.efi").write_bytes(f"kernel {version} ".encode() * 20_000)
    (folder / f"holdfast_{version}.root.{IDS[version].replace('-', '')}.raw").write_bytes(
        f"root {version} ".encode() * 100_000
    )
    return folder


class Medium:
    """A drive with two slots that hold both versions, and one partition for each."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "drive.raw"
        self.payloads = {version: payload(folder / version / FOLDER, version) for version in IDS}
        with self.file.open("wb") as stream:
            stream.truncate(SIZE)
        slots = [f"size={4 * MIB // SECTOR}, type={ROOT}, uuid={uuid}" for uuid in IDS.values()]
        table = "\n".join(["label: gpt", f"size={ESP_BYTES // SECTOR}, type={ESP}", *slots])
        subprocess.run(["sfdisk", "--quiet", self.file], input=table, text=True, check=True)
        self.partitions = partitions_of(self.file)
        self.place = f"{self.file}@@{system_partition(self.partitions).offset_bytes}"
        subprocess.run(["mformat", "-i", self.place, "-T", str(ESP_BYTES // SECTOR), "::"], check=True)
        for path in ("EFI", "EFI/BOOT", "EFI/Linux", "loader"):
            subprocess.run(["mmd", "-i", self.place, f"::/{path}"], check=True)
        self.put(LOADER, b"a boot loader")
        self.put(SETTINGS, b"timeout 1\n")
        for version, path in zip(IDS, (OLD, NEW), strict=True):
            self.put(path, next(self.payloads[version].glob("*.efi")).read_bytes())
            (root,) = self.payloads[version].glob("*.raw")
            self.write(self.partitions[IDS[version]].offset_bytes, root.read_bytes())

    def drive(self) -> Drive:
        """Return what is looked at: nothing besides the versions may have changed since now."""
        others = may_hold(files_of(self.file, self.partitions))
        return Drive(self.file, [Version.of(folder) for folder in self.payloads.values()], others)

    def put(self, path: str, content: bytes) -> None:
        """Replace a file of the EFI system partition."""
        subprocess.run(
            ["mcopy", "-o", "-i", self.place, "-", f"::/{path}"],
            input=content,
            capture_output=True,
            check=True,
        )

    def remove(self, path: str) -> None:
        """Remove a file of the EFI system partition."""
        subprocess.run(["mdel", "-i", self.place, f"::/{path}"], check=True)

    def renumber(self) -> None:
        """Give the partition of the newer version another id."""
        other = IDS["1.2.1"].replace("2", "3")
        subprocess.run(["sfdisk", "--quiet", "--part-uuid", self.file, "3", other], check=True)

    def write(self, offset: int, content: bytes) -> None:
        """Write to the drive as such."""
        with self.file.open("r+b") as stream:
            stream.seek(offset)
            stream.write(content)


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    return Medium(tmp_path)


def test_both_versions_are_found_with_their_tries(medium: Medium) -> None:
    assert medium.drive().startable() == {"holdfast_1.2.0.efi": None, "holdfast_1.2.1+3.efi": 3}


@pytest.mark.parametrize("content", [b"kernel 1.2.1 " * 19_999, b"kernel 1.2.2 " * 20_000])
def test_a_kernel_that_is_not_whole_is_noticed(medium: Medium, content: bytes) -> None:
    drive = medium.drive()
    medium.put(NEW, content)
    with pytest.raises(NotBootable, match=r"holdfast_1\.2\.1\+3\.efi is not whole"):
        drive.startable()


def test_what_no_boot_loader_starts_is_not_looked_at(medium: Medium) -> None:
    drive = medium.drive()
    medium.put("EFI/Linux/.#half", b"kernel")
    medium.put(NEW, b"")
    assert drive.startable() == {"holdfast_1.2.0.efi": None}


def test_a_name_that_a_power_cut_has_shortened_is_noticed(medium: Medium) -> None:
    drive = medium.drive()
    medium.put("EFI/Linux/HOLDFA~1.EFI", b"kernel")
    with pytest.raises(NotBootable, match="is no name of a version"):
        drive.startable()


def test_a_partition_that_has_its_id_before_its_content_is_noticed(medium: Medium) -> None:
    drive = medium.drive()
    drive.startable()
    place = medium.partitions[IDS["1.2.1"]].offset_bytes + MIB
    medium.write(place, b"\0")
    drive.written(place, 1)
    medium.remove(NEW)
    with pytest.raises(NotBootable, match="has its id before its content"):
        drive.startable()
    medium.renumber()
    assert drive.startable() == {"holdfast_1.2.0.efi": None}


def test_a_kernel_before_the_id_of_its_partition_is_noticed(medium: Medium) -> None:
    drive = medium.drive()
    medium.renumber()
    with pytest.raises(NotBootable, match="before its partition"):
        drive.startable()


@pytest.mark.parametrize("path", [LOADER, SETTINGS])
def test_what_is_read_at_a_start_is_there_and_as_it_was(medium: Medium, path: str) -> None:
    drive = medium.drive()
    medium.put(path, b"half")
    with pytest.raises(NotBootable, match=f"{path} is not whole"):
        drive.startable()
    medium.put(path, b"")
    with pytest.raises(NotBootable, match=f"{path} is gone"):
        drive.startable()
    medium.remove(path)
    with pytest.raises(NotBootable, match=f"{path} is gone"):
        drive.startable()


def test_a_file_that_is_replaced_may_be_either(medium: Medium) -> None:
    before = files_of(medium.file, medium.partitions)
    medium.put(SETTINGS, b"timeout 2\n")
    medium.put("loader/new.conf", b"new")
    after = files_of(medium.file, medium.partitions)
    drive = medium.drive()
    drive.others = may_hold(before, after)
    drive.startable()
    medium.remove("loader/new.conf")
    medium.put(SETTINGS, b"timeout 1\n")
    drive.startable()
    medium.put("loader/other.conf", b"from nowhere")
    with pytest.raises(NotBootable, match=r"loader/other\.conf is not whole"):
        drive.startable()


def test_a_version_that_can_be_started_must_be_left(medium: Medium) -> None:
    drive = medium.drive()
    medium.remove(OLD)
    assert drive.startable() == {"holdfast_1.2.1+3.efi": 3}
    kernel = next(medium.payloads["1.2.1"].glob("*.efi")).read_bytes()
    medium.remove(NEW)
    medium.put("EFI/Linux/holdfast_1.2.1+0-3.efi", kernel)
    with pytest.raises(NotBootable, match="no version is left"):
        drive.startable()
    medium.remove("EFI/Linux/holdfast_1.2.1+0-3.efi")
    with pytest.raises(NotBootable, match="none at all"):
        drive.startable()


def test_one_of_two_tables_is_enough(medium: Medium) -> None:
    drive = medium.drive()
    medium.write(SECTOR, bytes(SECTOR))
    assert len(drive.startable()) == 2
    medium.write(SIZE - SECTOR, bytes(SECTOR))
    with pytest.raises(NotBootable, match="neither the partition table nor its copy"):
        drive.startable()


@pytest.mark.parametrize("byte", [b"\xff", b"\0"])
def test_a_file_system_without_its_first_sector_is_noticed(medium: Medium, byte: bytes) -> None:
    drive = medium.drive()
    medium.write(system_partition(medium.partitions).offset_bytes, byte * SECTOR)
    with pytest.raises(NotBootable, match="the EFI system partition cannot be read"):
        drive.startable()


# --- a whole log


def entry(write: Write) -> bytes:
    place, content = write
    return struct.pack("<QQQQ", place // SECTOR, len(content) // SECTOR, 0, 0).ljust(SECTOR, b"\0") + content


@dataclass
class Update:
    """The writes that put the newer version's kernel there, as a drive is told them in the right order."""

    medium: Medium
    content: list[Write]
    chains: list[Write]
    names: list[Write]

    def recording(self, *writes: list[Write] | None, installed_after: int) -> Recording:
        """Return a log of these writes, None for a flush; the first `installed_after` belong to the installation."""
        folder = self.medium.file.parent
        entries = [b"".join(map(entry, group)) if group is not None else FLUSHED for group in writes]
        count = sum(len(group) if group is not None else 1 for group in writes)
        head = struct.pack("<QQQI", 0x6A736677736872, 1, count, SECTOR).ljust(SECTOR, b"\0")
        (folder / "writes.log").write_bytes(head + b"".join(entries))
        installed = SECTOR + sum(map(len, entries[:installed_after]))
        stages = {
            "first start": SECTOR,
            "fetch": SECTOR,
            "install": installed,
            "start": installed + (1 << 30),
        }
        return Recording(folder, stages, [files_of(folder / "after.raw", self.medium.partitions)])

    def judged(self, recording: Recording) -> dict[str, object]:
        first, second = (
            Image(
                folder.parent,
                folder.name,
                "qemu-x86-64",
                "bench",
                Builder(folder, "tree", AMD64),
                True,
                "image",
            )
            for folder in self.medium.payloads.values()
        )
        return judge(recording, first, second, "1.2.1", seed=1)


@pytest.fixture
def update(tmp_path: Path) -> Update:
    medium = Medium(tmp_path)
    shutil.copyfile(medium.file, tmp_path / "after.raw")
    medium.remove(NEW)
    shutil.copyfile(medium.file, tmp_path / "before.raw")
    before, after = ((tmp_path / name).read_bytes() for name in ("before.raw", "after.raw"))
    changed = [
        (place, after[place : place + SECTOR])
        for place in range(0, len(after), SECTOR)
        if before[place : place + SECTOR] != after[place : place + SECTOR]
    ]
    # mtools frees what it removes in both file allocation tables and in the folder, and leaves the content.
    kernel = next(medium.payloads["1.2.1"].glob("*.efi")).read_bytes()
    start = after.index(kernel)
    size = -(-len(kernel) // SECTOR) * SECTOR
    whole = kernel.ljust(size, b"\0")
    content = [(start + at, whole[at : at + _WRITE_BYTES]) for at in range(0, size, _WRITE_BYTES)]
    with (tmp_path / "before.raw").open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(size))
    names = [write for write in changed if b"HOLDFA" in write[1]]
    chains = [write for write in changed if write not in names]
    assert names
    assert chains
    assert all(place >= system_partition(medium.partitions).offset_bytes for place, _ in changed)
    return Update(medium, content, chains, names)


def test_content_before_chains_before_names_is_whole_at_every_write(update: Update) -> None:
    recording = update.recording(
        *(update.content, None, update.chains, None, update.names, None, update.chains), installed_after=6
    )
    result = update.judged(recording)
    assert result["broken"] == 0
    looked_at = len(update.content) + len(update.chains) + len(update.names)
    assert result["states"] == {"install": looked_at + 3 * 8, "start": len(update.chains)}
    assert result["startable"].keys() == {  # type: ignore[attr-defined]
        "holdfast_1.2.0.efi",
        "holdfast_1.2.0.efi, holdfast_1.2.1+3.efi",
    }


def test_a_name_before_its_content_is_told_with_its_write(update: Update) -> None:
    recording = update.recording(update.chains, update.names, update.content, None, installed_after=4)
    number = len(update.chains) + len(update.names) - 1
    with pytest.raises(
        BenchError, match=rf"install, write {number}: EFI/Linux/holdfast_1\.2\.1\+3\.efi is not whole"
    ):
        update.judged(recording)


def test_what_only_another_order_breaks_is_told(update: Update) -> None:
    recording = update.recording(update.content, update.chains, update.names, None, installed_after=4)
    with pytest.raises(BenchError, match=r"install, write \d+, in another order: .* is not whole"):
        update.judged(recording)


def test_a_version_that_was_said_to_be_installed_must_be_there(update: Update) -> None:
    recording = update.recording(
        *(update.content, None, update.chains, None, update.chains, update.names), installed_after=4
    )
    with pytest.raises(BenchError, match=r"start, write \d+: version 1\.2\.1 is gone"):
        update.judged(recording)
