"""What a boot loader would find on a drive, and whether it is whole; read by the tools of this workstation.

Every version that is found is held against the folder that it was installed from, byte by byte: whichever of them a
boot loader chooses, the robot starts a complete one.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast_image.errors import FlashError
from holdfast_image.esp import list_files, read_file
from holdfast_image.guest.version_files import VersionFile
from holdfast_image.partitions import Partition, read_partitions
from holdfast_image.payload import sha256_of

VERSIONS = "EFI/Linux"
_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_READ_AT_START = (".bin", ".conf", ".cred", ".efi", ".elf", ".env", ".scr", ".txt")
_BLOCK = 1 << 20
ABSENT = ""
"""Stands for the SHA-256 of a file that is not there, or has nothing in it: no boot loader starts that, or obeys it."""
Files = Mapping[str, str | None]
"""The files of an EFI system partition that are read at a start, with their SHA-256; None: it cannot be read whole."""


class NotBootable(Exception):  # noqa: N818 - it is no error of the bench, but what it looks for
    """Something on the drive is neither as it was before nor as it is to be; says what."""


@dataclass(frozen=True)
class Version:
    """One that a drive may hold: its unified kernel image, and the partitions that it names by their ids."""

    kernel: str
    """The SHA-256 of its unified kernel image."""
    partitions: Mapping[str, Path]

    @classmethod
    def of(cls, update: Path) -> Version:
        """Return the version in a folder `update` of a build."""
        (kernel,) = update.glob("*.efi")
        named = {str(uuid.UUID(file.name.split(".")[-2])): file for file in update.glob("*.raw")}
        return cls(sha256_of(kernel), named)


@dataclass
class Drive:
    """A raw drive and what it may hold: `others` is what `may_hold` returns."""

    file: Path
    versions: Sequence[Version]
    others: Mapping[str, frozenset[str]]
    _compared: dict[tuple[str, int], tuple[Partition, bool]] = field(default_factory=dict)
    """Of each partition, by its id and place: whether it holds what it should."""

    def written(self, offset: int, size: int) -> None:
        """Look again at the partitions that such a write has changed."""
        for key, (place, _) in list(self._compared.items()):
            if offset < place.offset_bytes + place.size_bytes and place.offset_bytes < offset + size:
                del self._compared[key]

    def startable(self) -> dict[str, int | None]:
        """Return the versions that could be started, by name of the file, with the tries that it tells.

        Raises:
            NotBootable: there is none, or what a boot loader reads is not whole.
        """
        partitions = partitions_of(self.file)
        files = files_of(self.file, partitions)
        for path in sorted(self.others.keys() | {path for path in files if not _is_version(path)}):
            digest = files.get(path, ABSENT)
            if digest not in self.others.get(path, {ABSENT}):
                raise NotBootable(f"{path} is {'gone' if digest == ABSENT else 'not whole'}")
        found = {
            path: self._complete(path, digest, partitions)
            for path, digest in files.items()
            if _is_version(path) and digest != ABSENT
        }
        for version in self.versions:
            for key, source in version.partitions.items():
                if key in partitions and not self._same(key, partitions[key], source):
                    raise NotBootable(f"partition {key} has its id before its content")
        if all(left == 0 for left in found.values()):
            raise NotBootable(f"no version is left to be started: {', '.join(found) or 'none at all'}")
        return {Path(path).name: left for path, left in found.items()}

    def _complete(self, path: str, digest: str | None, partitions: Mapping[str, Partition]) -> int | None:
        name = VersionFile.of(Path(path))
        if name is None:
            raise NotBootable(f"{path} is no name of a version")
        version = next((version for version in self.versions if version.kernel == digest), None)
        if version is None:
            raise NotBootable(f"{path} is not whole")
        if missing := version.partitions.keys() - partitions.keys():
            raise NotBootable(f"{path} is there before its partition {', '.join(sorted(missing))}")
        return name.left

    def _same(self, partition: str, place: Partition, source: Path) -> bool:
        key = (partition, place.offset_bytes)
        if key not in self._compared:
            self._compared[key] = place, _begins_with(self.file, place.offset_bytes, source)
        return self._compared[key][1]


def partitions_of(drive: Path) -> dict[str, Partition]:
    """Return the partitions by their ids, that of the EFI system partition under the id of its type.

    Raises:
        NotBootable: neither the table nor its copy at the drive's end can be read.
    """
    table = read_partitions(drive)
    # Of a table whose header is damaged only the entry for old programs is left, which has no id.
    if table is None or any("uuid" not in partition.entry for partition in table.partitions):
        raise NotBootable("neither the partition table nor its copy can be read")
    found = {partition.entry["uuid"].lower(): partition for partition in table.partitions}
    system = [one for one in table.partitions if one.entry["type"].lower() == _ESP]
    if len(system) != 1:
        raise NotBootable(f"there are {len(system)} EFI system partitions")
    return {**found, _ESP: system[0]}


def system_partition(partitions: Mapping[str, Partition]) -> Partition:
    """Return the EFI system partition of those that `partitions_of` found."""
    return partitions[_ESP]


def files_of(drive: Path, partitions: Mapping[str, Partition]) -> Files:
    """Return the files that are read at a start.

    Raises:
        NotBootable: the EFI system partition is no file system, or a folder cannot be read.
    """
    offset = partitions[_ESP].offset_bytes
    try:
        listed = list_files(drive, offset)
    except FlashError as error:
        raise NotBootable(f"the EFI system partition cannot be read: {error}") from error
    return {path: _digest(drive, offset, path) for path in listed if _is_read(path)}


def may_hold(*read: Files) -> dict[str, frozenset[str]]:
    """Return what the files besides versions may be, of what was read at several times; `ABSENT`: not there."""
    paths = {path for files in read for path in files if _is_read(path) and not _is_version(path)}
    return {path: frozenset(files.get(path, ABSENT) or ABSENT for files in read) for path in sorted(paths)}


def _is_read(path: str) -> bool:
    return path.lower().endswith(_READ_AT_START)


def _is_version(path: str) -> bool:
    return path.startswith(f"{VERSIONS}/") and path.lower().endswith(".efi")


def _digest(drive: Path, offset: int, path: str) -> str | None:
    try:
        content = read_file(drive, offset, path)
    except FlashError:
        return None
    return hashlib.sha256(content).hexdigest() if content else ABSENT


def _begins_with(drive: Path, offset: int, source: Path) -> bool:
    with drive.open("rb") as here, source.open("rb") as there:
        here.seek(offset)
        while block := there.read(_BLOCK):
            if here.read(len(block)) != block:
                return False
    return True
