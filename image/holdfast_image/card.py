"""A drive opened for writing: nobody else may claim it, and nothing stays in the page cache."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path
from types import TracebackType

from holdfast_image.disk_image import BLOCK_BYTES
from holdfast_image.errors import DriveError, HostError

# <linux/falloc.h>. On a block device: discard, but only where the drive promises that zeros are read afterwards.
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02
# <linux/fs.h>. The drive zeroes by itself, else the kernel writes zeros.
_BLKZEROOUT = 0x127F
_LIBC = ctypes.CDLL(None, use_errno=True)


class Card:
    """What is flashed to. O_DIRECT, so that what is read back comes from the drive and the rate is the drive's."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Claim the drive.

        Raises:
            DriveError: somebody else uses it, or it is read-only.
            HostError: this user may not write to it.
        """
        self.path = path
        self.size_bytes = size_bytes
        try:
            self._file = os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DriveError(f"{path} is in use by another program; end that first") from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HostError(
                    f"this user may not write to {path}; run it with sudo "
                    "--preserve-env=HOLDFAST_FLEET_URL,HOLDFAST_WIFI_PASSWORD"
                ) from error
            raise DriveError(f"{path} cannot be written: {error.strerror}; use another drive") from error
        # Page-aligned, as O_DIRECT wants it.
        self._buffer = mmap.mmap(-1, BLOCK_BYTES)

    def __enter__(self) -> Card:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, offset: int, block: bytes) -> None:
        """Write a block of whole sectors.

        Raises:
            OSError: the drive fails.
        """
        self._buffer[: len(block)] = block
        with memoryview(self._buffer)[: len(block)] as whole:
            done = 0
            while done < len(block):
                done += os.pwrite(self._file, whole[done:], offset + done)

    def read(self, offset: int, count: int) -> bytes:
        """Read whole sectors, at most a block, from the drive itself.

        Raises:
            OSError: the drive fails.
        """
        with memoryview(self._buffer)[:count] as whole:
            done = 0
            while done < count:
                got = os.preadv(self._file, [whole[done:]], offset + done)
                if got == 0:
                    raise OSError(errno.EIO, "the drive ends too early")
                done += got
        return self._buffer[:count]

    def zero(self, offset: int, count: int) -> None:
        """Make a range of whole sectors read as zero, without sending it where the drive can do that by itself.

        Raises:
            OSError: the drive fails.
        """
        place = (ctypes.c_int64(offset), ctypes.c_int64(count))
        if _LIBC.fallocate64(self._file, _KEEP_SIZE_PUNCH_HOLE, *place) != 0:
            fcntl.ioctl(self._file, _BLKZEROOUT, struct.pack("=QQ", offset, count))

    def flush(self) -> None:
        """Have on the drive what other programs wrote too, and nothing of it in the page cache.

        Raises:
            OSError: the drive fails.
        """
        os.fsync(self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
