"""The log of every write to a drive, in the format of Linux's dm-log-writes, as QEMU's blklogwrites writes it.

A superblock, then entries, each at the beginning of a sector of the log: a header that fills one sector, then what was
written. Numbers are little-endian (Documentation/admin-guide/device-mapper/log-writes.rst, drivers/md/dm-log-writes.c).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.result import BenchError

_MAGIC = 0x6A736677736872
_VERSION = 1
_SUPERBLOCK = struct.Struct("<QQQI")
"""Magic, version, number of entries, bytes of a sector."""
_ENTRY = struct.Struct("<QQQQ")
"""First sector, sectors, flags, bytes of a mark's text (QEMU makes no marks)."""
_FLUSH, _DISCARD = 1, 4
"""A write that is durable by itself (2) no virtio drive is told."""


@dataclass(frozen=True)
class Entry:
    """What the drive was told: a write, or to forget what was there, or to make durable what it was told before."""

    at: int
    """Where in the log it begins, in bytes."""
    offset: int
    """In bytes from the beginning of the drive."""
    size: int
    """In bytes; 0 where nothing is written."""
    place: int | None
    """Where in the log the data are; None: zeros."""
    flush: bool
    """Whether all before it is durable once it is done."""


def read_log(log: Path) -> Iterator[Entry]:
    """Return the entries of a log, oldest first.

    Raises:
        BenchError: it is no such log, or it is not whole.
    """
    size = log.stat().st_size
    with log.open("rb") as stream:
        head = stream.read(_SUPERBLOCK.size)
        if len(head) < _SUPERBLOCK.size:
            raise BenchError(f"{log} is no log of writes: it has {size} bytes")
        magic, version, count, sector = _SUPERBLOCK.unpack(head)
        if (magic, version) != (_MAGIC, _VERSION) or sector < _ENTRY.size:
            raise BenchError(f"{log} is no log of writes of version {_VERSION}")
        place = sector
        for number in range(count):
            stream.seek(place)
            header = stream.read(_ENTRY.size)
            if len(header) < _ENTRY.size:
                raise BenchError(f"{log} ends in entry {number} of {count}")
            first, sectors, flags, _ = _ENTRY.unpack(header)
            if flags & ~(_FLUSH | _DISCARD):
                raise BenchError(f"entry {number} of {log} has flags that nobody knows: {flags:#x}")
            at = place
            place += sector
            data = 0 if flags & _DISCARD else sectors * sector
            if place + data > size:
                raise BenchError(f"{log} ends in the data of entry {number} of {count}")
            yield Entry(at, first * sector, sectors * sector, place if data else None, bool(flags & _FLUSH))
            place += data
