"""Writes an image to a drive so that the drive boots only if everything went well.

The first block, with the partition table, is written last; before anything else it is zeroed, and with it the copy of
an old table at the drive's end. A drive on which this was cut off, by whatever, is empty to firmware and kernel.

1. zero the first and the last block
2. write the rest, zeros without sending them
3. read all of it back and compare
4. write the first-boot configuration into the EFI system partition
5. write the first block and compare; in it the EFI system partition gets an id of its own, by which a robot tells its
   drive from another one with the same image
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from holdfast_image.card import Card
from holdfast_image.disk_image import BLOCK_BYTES, DiskImage, name_esp
from holdfast_image.errors import FlashError, ImageError
from holdfast_image.esp import compare_files, write_files
from holdfast_image.progress import Steps

# One call to zero more than that would hold the progress bar still for long on a drive that cannot do it by itself.
_LONGEST_ZEROS = 64 << 20
_ZEROS = bytes(BLOCK_BYTES)


@dataclass(frozen=True)
class Written:
    """What was written behind the first block."""

    digests: list[bytes]
    """One a block."""
    size_bytes: int
    sent_bytes: int
    """Of them those that were not zeroed."""


def flash(image: DiskImage, card: Card, files: Mapping[str, bytes], steps: Steps) -> Written:
    """Write the image and the first-boot configuration, and compare.

    `files` are those of the configuration, by their paths in the EFI system partition.

    Raises:
        FlashError: it failed or was stopped (Ctrl-C); the drive cannot boot.
    """
    try:
        return _flash(image, card, files, steps)
    except (ImageError, OSError, KeyboardInterrupt) as error:
        with suppress(OSError):
            card.zero(0, BLOCK_BYTES)
            card.flush()
        raise FlashError(
            f"{_reason(error, card)}. {card.path} was erased and is not usable: it holds no complete image "
            "and will not boot until it is flashed again"
        ) from error


def _reason(error: BaseException, card: Card) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped before it was done"
    if isinstance(error, OSError):
        return f"{card.path} failed ({error.strerror}): it was unplugged, or is worn out"
    return str(error)


def _flash(image: DiskImage, card: Card, files: Mapping[str, bytes], steps: Steps) -> Written:
    behind = image.layout.size_bytes - len(image.head)
    card.zero(0, BLOCK_BYTES)
    card.zero(card.size_bytes - BLOCK_BYTES, BLOCK_BYTES)
    card.flush()
    with steps.transfer("write", behind) as advance:
        written = write_blocks(image, card, advance)
        card.flush()
    with steps.transfer("compare", behind) as advance:
        compare(written, card, advance)
    if files and image.layout.esp_offset is not None:
        with steps.step("first-boot configuration"):
            write_files(card.path, image.layout.esp_offset, files)
            card.flush()
            compare_files(card.path, image.layout.esp_offset, files)
    head = name_esp(image.head, uuid.uuid4())
    card.write(0, head)
    card.flush()
    if card.read(0, len(head)) != head:
        raise FlashError(_different(card, 0))
    return written


def write_blocks(image: DiskImage, card: Card, advance: Callable[[int], None]) -> Written:
    """Write what follows the image's first block.

    Raises:
        ImageFileError: the image is damaged.
        OSError: the drive fails.
    """
    digests: list[bytes] = []
    offset = sent = len(image.head)
    begin = offset  # of the zeros that are yet to be made
    for block in image.rest():
        digests.append(hashlib.blake2b(block).digest())
        if block != _ZEROS[: len(block)]:
            _zero(card, begin, offset)
            card.write(offset, block)
            begin = offset + len(block)
            sent += len(block)
        elif offset - begin >= _LONGEST_ZEROS:
            _zero(card, begin, offset)
            begin = offset
        offset += len(block)
        advance(len(block))
    _zero(card, begin, offset)
    return Written(digests, offset, sent)


def compare(written: Written, card: Card, advance: Callable[[int], None]) -> None:
    """Read back what was written and compare it.

    Raises:
        FlashError: the drive does not hold it.
        OSError: the drive fails.
    """
    for index, digest in enumerate(written.digests, 1):
        offset = index * BLOCK_BYTES
        block = card.read(offset, min(BLOCK_BYTES, written.size_bytes - offset))
        if hashlib.blake2b(block).digest() != digest:
            raise FlashError(_different(card, offset))
        advance(len(block))


def _zero(card: Card, begin: int, end: int) -> None:
    if end > begin:
        card.zero(begin, end - begin)


def _different(card: Card, offset: int) -> str:
    return (
        f"what {card.path} gives back differs from what was written, first in the block at {offset} bytes; "
        "it is worn out, or smaller than it claims to be: use another"
    )
