"""Small disk images with a real partition table and a real EFI system partition."""

from __future__ import annotations

import random
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

MIB = 1 << 20
SECTOR = 512
ESP_OFFSET = MIB
ESP_BYTES = 4 * MIB
ROOT_OFFSET = ESP_OFFSET + ESP_BYTES
ROOT_BYTES = 3 * MIB
# No whole number of blocks, as in images of mkosi.
SIZE = ROOT_OFFSET + ROOT_BYTES + 2 * MIB + 33 * SECTOR
EFI_PROGRAMS = Path("/usr/lib/systemd/boot/efi")
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def partition_table(size: int, partitions: list[tuple[uuid.UUID, int, int]]) -> bytes:
    """Return protective MBR, header and 128 entries of a disk of `size` bytes."""
    table = b"".join(
        kind.bytes_le + uuid.UUID(int=number).bytes_le + struct.pack("<QQQ72x", first, last, 0)
        for number, (kind, first, last) in enumerate(partitions, 1)
    ).ljust(128 * 128, b"\0")
    last = size // SECTOR - 1
    fields = (1, last, 34, last - 33, uuid.UUID(int=7).bytes_le, 2, 128, 128, zlib.crc32(table))
    raw = struct.pack("<8sIII4xQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, *fields)
    header = raw[:16] + struct.pack("<I", zlib.crc32(raw)) + raw[20:]
    entry = struct.pack("<B3xB3xII", 0, 0xEE, 1, min(last, 0xFFFFFFFF))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa" + header.ljust(SECTOR, b"\0") + table


def esp_table(size: int, esp_sector: int) -> bytes:
    """Return the table of a disk whose EFI system partition begins at `esp_sector`."""
    return partition_table(size, [(LINUX, 34, 34), (ESP, esp_sector, esp_sector)])


def make_image(path: Path) -> Path:
    """Make an image of `SIZE` bytes: an empty FAT file system, and a root of noise with a gap of zeros."""
    noise = random.Random(1).randbytes(MIB)  # noqa: S311 - the same in every run
    head = partition_table(
        SIZE,
        [
            (ESP, ESP_OFFSET // SECTOR, ROOT_OFFSET // SECTOR - 1),
            (ROOT_X86_64, ROOT_OFFSET // SECTOR, (ROOT_OFFSET + ROOT_BYTES) // SECTOR - 1),
        ],
    )
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.write(head)
        file.seek(ROOT_OFFSET)
        file.write(noise + bytes(MIB) + noise)
        file.seek(SIZE - 33 * SECTOR)
        file.write(noise[: 33 * SECTOR])
    subprocess.run(
        ["mformat", "-i", f"{path}@@{ESP_OFFSET}", "-T", str(ESP_BYTES // SECTOR), "::"], check=True
    )
    return path
