"""The partitions of a raw disk image, as sfdisk sees them, and what file system each holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.errors import HostError, ImageFileError

# Where Debian keeps what only root is expected to call.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# The user's own settings of mtools stay out of it; geometries of real disks mean nothing here.
_ENVIRONMENT = {
    **os.environ,
    "PATH": _PATH,
    "LC_ALL": "C",
    "TZ": "UTC",
    "MTOOLSRC": os.devnull,
    "MTOOLS_SKIP_CHECK": "1",
}


@dataclass(frozen=True)
class Partition:
    """One entry of a partition table."""

    number: int
    offset_bytes: int
    size_bytes: int
    entry: dict[str, str]
    """Everything else that the table says: type, uuid, name, attrs."""

    def contains(self, offset: int, size: int) -> bool:
        """Whether so many bytes at that place of the disk lie in it."""
        return self.offset_bytes <= offset and offset + size <= self.offset_bytes + self.size_bytes

    def as_attributes(self) -> dict[str, str]:
        """Return all of it by name."""
        return {"offset": str(self.offset_bytes), "size": str(self.size_bytes), **self.entry}

    def __str__(self) -> str:
        name = self.entry.get("name")
        return f"{self.number} ({name})" if name else str(self.number)


@dataclass(frozen=True)
class PartitionTable:
    """A disk's identity and its partitions."""

    disk_id: str
    partitions: tuple[Partition, ...]


def read_partitions(image: Path) -> PartitionTable | None:
    """Return the partition table of an image; None if it has none.

    Raises:
        HostError: sfdisk is not installed.
    """
    ran = run_tool("sfdisk", "fdisk", "--json", str(image))
    if ran.returncode != 0:
        return None
    table = json.loads(ran.stdout)["partitiontable"]
    sector_bytes = table.get("sectorsize", 512)
    partitions = []
    for number, found in enumerate(table.get("partitions", ()), 1):
        entry = {key: str(value) for key, value in found.items() if key not in {"node", "start", "size"}}
        start, size = found["start"] * sector_bytes, found["size"] * sector_bytes
        partitions.append(Partition(number, start, size, entry))
    return PartitionTable(table.get("id", ""), tuple(partitions))


def file_system(image: Path, partition: Partition) -> str:
    """Return the kind of file system in a partition as blkid names it, empty if it knows none.

    Raises:
        HostError: blkid is not installed.
    """
    place = (f"--offset={partition.offset_bytes}", f"--size={partition.size_bytes}")
    ran = run_tool("blkid", "util-linux", "-p", "-o", "value", "-s", "TYPE", *place, str(image))
    return ran.stdout.decode().strip()


def run_tool(program: str, package: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program of this machine and return what it said, whatever its exit code.

    Raises:
        HostError: it is not installed.
    """
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise HostError(f"{program} is not installed; install the package {package}")
    return subprocess.run(
        [found, *arguments], stdin=subprocess.DEVNULL, capture_output=True, env=_ENVIRONMENT, check=False
    )


def require_success(ran: subprocess.CompletedProcess[bytes], what: str) -> None:
    """Refuse to go on after a program that failed.

    Raises:
        ImageFileError: it did.
    """
    if ran.returncode != 0:
        said = " ".join(ran.stderr.decode(errors="replace").split())
        raise ImageFileError(f"{what} cannot be read: {said}")
