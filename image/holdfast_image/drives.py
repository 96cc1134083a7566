"""The drives of this workstation as lsblk tells of them, and which of them may be erased."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from rich.filesize import decimal

from holdfast_image.errors import DriveError, HostError, UsageError

# What the image's partition table and file systems count in.
SECTOR_BYTES = 512
_SYSTEM_PLACES = ("/", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/usr", "/var", "/home")
_WHOLE_DRIVES = ("disk", "loop")
_COLUMNS = (
    *("path", "type", "size", "ro", "rm", "hotplug", "vendor", "model", "tran", "log-sec", "maj:min"),
    *("fstype", "label", "mountpoints"),
)


class BlockDevice(BaseModel):
    """A drive, a partition of it, or what lies on a partition (LVM, RAID, encryption)."""

    path: Path
    kind: str = Field(alias="type")
    size_bytes: int = Field(alias="size")
    read_only: bool = Field(alias="ro")
    removable_medium: bool = Field(alias="rm")
    hot_plug: bool = Field(alias="hotplug")
    vendor: str | None = None
    model: str | None = None
    transport: str | None = Field(default=None, alias="tran")
    sector_bytes: int = Field(alias="log-sec")
    number: str = Field(alias="maj:min")
    file_system: str | None = Field(default=None, alias="fstype")
    label: str | None = None
    mount_points: list[str | None] = Field(default=[], alias="mountpoints")
    children: list[BlockDevice] = []

    @property
    def removable(self) -> bool:
        """Whether a person can take it out."""
        return self.removable_medium or self.hot_plug

    @property
    def name(self) -> str:
        """Vendor and model, as far as the drive tells them."""
        return " ".join(part.strip() for part in (self.vendor, self.model) if part) or "unnamed"

    @property
    def mounted_at(self) -> list[str]:
        """Where it or a part of it is mounted; `[SWAP]` for swap space."""
        return [place for device in self.whole_tree() for place in device.mount_points if place]

    def whole_tree(self) -> Iterator[BlockDevice]:
        """Yield it, its partitions and what lies on them."""
        yield self
        for child in self.children:
            yield from child.whole_tree()


class _Listing(BaseModel):
    blockdevices: list[BlockDevice]


def read_listing(text: str) -> list[BlockDevice]:
    """Return the drives of an output of lsblk.

    Raises:
        HostError: it is not what lsblk of util-linux 2.37 or later prints.
    """
    try:
        return TypeAdapter(_Listing).validate_json(text).blockdevices
    except ValidationError as error:
        raise HostError(
            "lsblk gave no list of drives that can be read; util-linux 2.37 or later is needed"
        ) from error


def removable_drives() -> list[BlockDevice]:
    """Return the drives that can be taken out and have a medium in them.

    Raises:
        HostError: lsblk cannot be asked.
    """
    drives = read_listing(_lsblk())
    return [drive for drive in drives if drive.kind == "disk" and drive.removable and drive.size_bytes]


def find_drive(path: Path) -> BlockDevice:
    """Return the drive at `path`; a link, as below /dev/disk/by-id, is followed.

    Raises:
        UsageError: there is no block device.
        HostError: lsblk cannot be asked.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; `holdfast image list` shows the drives that are there"
        ) from error
    if not stat.S_ISBLK(mode):
        raise UsageError(f"{path} is not a drive; `holdfast image list` shows those that are there")
    (drive,) = read_listing(_lsblk(str(path.resolve())))
    return drive


def system_numbers() -> set[str]:
    """Return the device numbers ("major:minor") of the file systems that this system runs from."""
    numbers = set()
    for place in map(Path, _SYSTEM_PLACES):
        if place.exists():
            device = place.stat().st_dev
            numbers.add(f"{os.major(device)}:{os.minor(device)}")
    return numbers


def is_system_drive(drive: BlockDevice, numbers: set[str]) -> bool:
    """Tell whether this system runs from the drive."""
    return any(place in _SYSTEM_PLACES for place in drive.mounted_at) or any(
        device.number in numbers for device in drive.whole_tree()
    )


def refuse_drive_in_use(drive: BlockDevice, numbers: set[str]) -> None:
    """Refuse what may not be erased; `numbers` are those of `system_numbers`.

    Raises:
        DriveError: it is the system's drive, part of a drive, mounted, in use or read-only.
    """
    if is_system_drive(drive, numbers):
        raise DriveError(f"{drive.path} is the drive that this system runs from; name another one")
    if drive.kind not in _WHOLE_DRIVES:
        raise DriveError(f"{drive.path} is not a whole drive ({drive.kind}); name the drive it is on")
    for device in drive.whole_tree():
        places = [place for place in device.mount_points if place]
        if "[SWAP]" in places:
            raise DriveError(f"{device.path} is in use as swap space; run `swapoff {device.path}` first")
        if places:
            raise DriveError(
                f"{device.path} is mounted at {', '.join(places)}; run `umount {device.path}` first"
            )
    for device in drive.whole_tree():
        if device is not drive and device.kind != "part":
            raise DriveError(
                f"{drive.path} is in use by {device.path} ({device.kind}); take that apart first"
            )
    if drive.read_only:
        raise DriveError(f"{drive.path} is read-only; move the lock on the card, or use another")


def refuse_unfit_drive(drive: BlockDevice, needed_bytes: int) -> None:
    """Refuse a drive that the image does not fit on.

    Raises:
        DriveError: it is too small, or counts in other sectors than the image.
    """
    if drive.size_bytes < needed_bytes:
        raise DriveError(
            f"{drive.path} is too small: it holds {decimal(drive.size_bytes)} ({drive.size_bytes} bytes), "
            f"the image is {decimal(needed_bytes)} ({needed_bytes} bytes); use a larger one"
        )
    if drive.sector_bytes != SECTOR_BYTES:
        raise DriveError(
            f"{drive.path} has sectors of {drive.sector_bytes} bytes and could not boot the image, "
            f"whose partition table counts in {SECTOR_BYTES}; use another drive"
        )


def _lsblk(*devices: str) -> str:
    command = ["lsblk", "--json", "--bytes", "--output", ",".join(_COLUMNS), *devices]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise HostError(f"lsblk cannot be run ({error.strerror}); install util-linux") from error
    if ran.returncode != 0:
        raise HostError(f"lsblk failed: {ran.stderr.strip()}")
    return ran.stdout
