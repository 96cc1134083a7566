"""The data partition of a raw drive, read as the start of a robot reads it: checked, its journal replayed, its files.

e2fsck does what systemd-fsck does at a start, and debugfs copies the files out: neither needs root or a mount.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast_image.partitions import Partition, read_partitions, run_tool

_LABEL = "holdfast-data"
_REPAIRED = 1
"""The highest code of e2fsck after which a robot goes on: it has mended what an interrupted write leaves."""
_BANNER = re.compile(r"debugfs \d")
_NOT_OURS = "while changing ownership of"
"""Who is not root cannot give the copies away: their contents are what is looked at."""


class NotKept(Exception):  # noqa: N818 - it is no error of the bench, but what it looks for
    """After a power cut something is not as the robot had acknowledged it; says what."""


def data_partition(drive: Path) -> Partition | None:
    """Return the data partition of a drive; None: no robot has started from it."""
    table = read_partitions(drive)
    named = (one for one in table.partitions if one.entry.get("name") == _LABEL) if table is not None else ()
    return next(iter(named), None)


def copy_out(drive: Path, partition: Partition, target: Path) -> None:
    """Copy a partition into a file of its own; what was never written takes no space there."""
    with drive.open("rb") as source, target.open("wb") as sink:
        sink.truncate(partition.size_bytes)
        for begin, end in _written(source.fileno(), partition):
            place = begin
            while place < end:
                place += os.copy_file_range(
                    source.fileno(), sink.fileno(), end - place, place, place - partition.offset_bytes
                )


def _written(file: int, partition: Partition) -> Iterator[tuple[int, int]]:
    end = partition.offset_bytes + partition.size_bytes
    place = partition.offset_bytes
    while place < end:
        try:
            begin = os.lseek(file, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but holes
                return
            raise
        place = os.lseek(file, begin, os.SEEK_HOLE)
        if begin < end:
            yield begin, min(place, end)


def recover(file_system: Path) -> None:
    """Check a file system as a robot does when it starts, and mend what an interrupted write leaves.

    Raises:
        NotKept: more than that is wrong with it.
        HostError: e2fsck is not installed.
    """
    ran = run_tool("e2fsck", "e2fsprogs", "-f", "-p", str(file_system))
    if ran.returncode > _REPAIRED:
        said = " ".join((ran.stdout + ran.stderr).decode(errors="replace").split())
        raise NotKept(f"the data partition is damaged (e2fsck {ran.returncode}): {said}")


def unpack(file_system: Path, target: Path) -> None:
    """Copy all files of a file system into the folder `target`, which is not there yet.

    Raises:
        NotKept: one cannot be read.
        HostError: debugfs is not installed.
    """
    target.mkdir()
    ran = run_tool("debugfs", "e2fsprogs", "-R", f"rdump / {target}", str(file_system))
    said = [
        line
        for line in ran.stderr.decode(errors="replace").splitlines()
        if not _BANNER.match(line) and _NOT_OURS not in line
    ]
    if ran.returncode != 0 or said:
        raise NotKept(f"the data partition cannot be read: {'; '.join(said) or f'debugfs {ran.returncode}'}")
