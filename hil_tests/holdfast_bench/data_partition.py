"""The data partition of a raw drive, as the start of a robot finds it: checked, its journal replayed, its files.

e2fsck replays the journal, as systemd-fsck does at a start, and debugfs copies the files out: neither needs root or a
mount.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast_bench.result import BenchError
from holdfast_image.partitions import Partition, read_partitions, run_tool

_LABEL = "holdfast-data"
_MENDED = 1
"""The code of e2fsck after it has mended what an interrupted write leaves."""
_UNIMPORTANT = ("debugfs ", "while changing ownership of", "File not found by ext2_lookup")
"""What debugfs says besides errors: its version, that only root can give a copy away, and what is not there."""


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
        for place, end in _written(source.fileno(), partition):
            sink.seek(place - partition.offset_bytes)
            begin = place
            while begin < end:
                begin += os.sendfile(sink.fileno(), source.fileno(), begin, end - begin)


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
    """Replay the journal of a file system, as a robot does when it starts; nothing may be wrong with it then.

    Raises:
        NotKept: something is.
        BenchError: this machine's e2fsck is too old for it.
        HostError: it is not installed.
    """
    for options, highest in (("-p", _MENDED), ("-fn", 0)):
        ran = run_tool("e2fsck", "e2fsprogs", options, str(file_system))
        said = " ".join((ran.stdout + ran.stderr).decode(errors="replace").split())
        if "unsupported feature" in said:
            raise BenchError(f"this machine's e2fsck is too old for the robot's data partition: {said}")
        if ran.returncode > highest:
            raise NotKept(f"the data partition is damaged (e2fsck {options}: {ran.returncode}): {said}")


def unpack(file_system: Path, folders: Sequence[str], target: Path) -> None:
    """Copy folders of a file system, each under its own name, into the folder `target`; one may be absent.

    Raises:
        NotKept: something cannot be read.
        BenchError: there is no space for it here.
        HostError: debugfs is not installed.
    """
    places = " ".join(f'"{place}"' for place in (*folders, target))
    ran = run_tool("debugfs", "e2fsprogs", "-R", f"rdump {places}", str(file_system))
    lines = ran.stderr.decode(errors="replace").splitlines()
    if said := "; ".join(line for line in lines if not any(text in line for text in _UNIMPORTANT)):
        if os.strerror(errno.ENOSPC) in said:
            raise BenchError(f"no space is left for {target}: {said}")
        raise NotKept(f"the data partition cannot be read: {said}")
