"""A disk image as a stream of blocks, raw or compressed with zstd; nothing is unpacked to disk.

The partition table at its beginning (GPT: UEFI specification 2.10, chapter 5.3) tells how large the disk is, which a
compressed file need not, and where its EFI system partition begins.
"""

from __future__ import annotations

import stat
import struct
import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from types import TracebackType

from holdfast_image.drives import SECTOR_BYTES
from holdfast_image.errors import ImageFileError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
_ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ")


@dataclass(frozen=True)
class Layout:
    """What a partition table says."""

    size_bytes: int
    esp_offset: int | None
    """Where the EFI system partition begins."""
    kinds: frozenset[uuid.UUID] = frozenset()
    """The types of its partitions."""


def read_layout(head: bytes) -> Layout | None:
    """Return what the partition table in the first block of a disk says; None if there is no intact one."""
    with suppress(struct.error):
        header = _HEADER.unpack_from(head, SECTOR_BYTES)
        signature, _, header_bytes, checksum, _, _, last_sector, *_ = header
        table_sector, entries, entry_bytes, table_checksum = header[10:]
        raw = bytearray(head[SECTOR_BYTES : SECTOR_BYTES + header_bytes])
        raw[16:20] = bytes(4)
        table = head[table_sector * SECTOR_BYTES :][: entries * entry_bytes]
        intact = (signature, checksum, table_checksum) == (b"EFI PART", zlib.crc32(raw), zlib.crc32(table))
        if intact and entry_bytes >= _ENTRY.size and len(table) == entries * entry_bytes:
            partitions = _partitions(table, entry_bytes)
            esp_offset = next((offset for kind, offset in partitions if kind == _ESP_TYPE), None)
            kinds = frozenset(kind for kind, _ in partitions)
            return Layout((last_sector + 1) * SECTOR_BYTES, esp_offset, kinds)
    return None


def name_esp(head: bytes, esp_id: uuid.UUID) -> bytes:
    """Return the first block of a disk, whose table is intact, with another id of its EFI system partition."""
    named = bytearray(head)
    _, _, header_bytes, *_, table_sector, entries, entry_bytes, _ = _HEADER.unpack_from(head, SECTOR_BYTES)
    begin = table_sector * SECTOR_BYTES
    end = begin + entries * entry_bytes
    for entry in range(begin, end, entry_bytes):
        if named[entry : entry + 16] == _ESP_TYPE.bytes_le:
            named[entry + 16 : entry + 32] = esp_id.bytes_le
    struct.pack_into("<I", named, SECTOR_BYTES + 88, zlib.crc32(named[begin:end]))
    struct.pack_into("<I", named, SECTOR_BYTES + 16, 0)
    checksum = zlib.crc32(named[SECTOR_BYTES : SECTOR_BYTES + header_bytes])
    struct.pack_into("<I", named, SECTOR_BYTES + 16, checksum)
    return bytes(named)


def _partitions(table: bytes, entry_bytes: int) -> list[tuple[uuid.UUID, int]]:
    """Return the type of each partition and where it begins."""
    entries = (_ENTRY.unpack_from(table, begin) for begin in range(0, len(table), entry_bytes))
    return [
        (uuid.UUID(bytes_le=kind), first_sector * SECTOR_BYTES)
        for kind, _, first_sector, *_ in entries
        if any(kind)
    ]


class DiskImage:
    """An image file, opened: its first block, its layout, and the blocks that follow, once."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its first block.

        Raises:
            ImageFileError: it cannot be read, or no disk image begins there.
        """
        self.path = path
        self._file: BufferedReader | None = None
        try:
            file = path.open("rb")
            self._file = file
            self._compressed = file.peek(len(_ZSTD_MAGIC))[: len(_ZSTD_MAGIC)] == _ZSTD_MAGIC
            self._stream: BufferedIOBase = zstd.ZstdFile(file) if self._compressed else file
            self.head = self._read(BLOCK_BYTES)
            self.layout = self._checked_layout()
        except OSError as error:
            self.close()
            raise ImageFileError(f"{path} cannot be read: {error.strerror}") from error
        except ImageFileError:
            self.close()
            raise

    def __enter__(self) -> DiskImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def rest(self) -> Iterator[bytes]:
        """Yield what follows the first block, in blocks of `BLOCK_BYTES`; the last one may be shorter.

        Raises:
            ImageFileError: the file is damaged, or ends too early or too late.
        """
        left = self.layout.size_bytes - len(self.head)
        while left:
            block = self._read(min(BLOCK_BYTES, left))
            left -= len(block)
            yield block
        if self._read_some(1):
            raise ImageFileError(f"{self.path} is longer than its partition table says; {_MEND}")

    def _checked_layout(self) -> Layout:
        layout = read_layout(self.head)
        if layout is None:
            raise ImageFileError(
                f"{self.path} is not a disk image (it has no partition table); "
                "name an image.raw, or one compressed with zstd"
            )
        if layout.size_bytes < len(self.head):
            raise ImageFileError(
                f"{self.path} has a partition table for a disk of {layout.size_bytes} bytes; {_MEND}"
            )
        if layout.esp_offset is not None and layout.esp_offset < BLOCK_BYTES:
            raise ImageFileError(
                f"{self.path} has a partition in its first {BLOCK_BYTES} bytes, which are written last; "
                "move it behind them"
            )
        status = self.path.stat()
        if not self._compressed and stat.S_ISREG(status.st_mode) and status.st_size != layout.size_bytes:
            raise ImageFileError(
                f"{self.path} has {status.st_size} bytes, its partition table speaks of {layout.size_bytes}; {_MEND}"
            )
        return layout

    def _read(self, count: int) -> bytes:
        block = self._read_some(count)
        while len(block) < count:
            more = self._read_some(count - len(block))
            if not more:
                raise ImageFileError(f"{self.path} ends too early; {_MEND}")
            block += more
        return block

    def _read_some(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except (zstd.ZstdError, EOFError) as error:
            raise ImageFileError(f"{self.path} is damaged ({error}); {_MEND}") from error


_MEND = "build it or fetch it again"
