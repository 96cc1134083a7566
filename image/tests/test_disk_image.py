"""Image files, whole and damaged."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from disk_images import ESP, ESP_OFFSET, LINUX, MIB, ROOT_X86_64, SECTOR, SIZE, esp_table, partition_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_image.disk_image import DiskImage, Layout, read_layout
from holdfast_image.errors import ImageFileError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHECKED = {int(zstd.CompressionParameter.checksum_flag): 1}
_SECTORS = st.integers(MIB // SECTOR, 1 << 40)
_any_time = settings(deadline=None)
_same_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)


def content_of(path: Path) -> bytes:
    with DiskImage(path) as image:
        return image.head + b"".join(image.rest())


@_any_time
@given(size=_SECTORS, esp=_SECTORS)
def test_layout_is_that_of_the_table(size: int, esp: int) -> None:
    assert read_layout(esp_table(size * SECTOR, esp)) == Layout(
        size * SECTOR, esp * SECTOR, frozenset({ESP, LINUX})
    )


def test_disk_without_an_efi_system_partition_has_none() -> None:
    assert read_layout(partition_table(4 * MIB, [])) == Layout(4 * MIB, None)


@_any_time
@given(bit=st.integers(8 * SECTOR, 8 * (SECTOR + 92) - 1) | st.integers(8 * 1024, 8 * (1024 + 128 * 128) - 1))
def test_flipped_bit_in_the_table_is_noticed(bit: int) -> None:
    damaged = bytearray(esp_table(4 * MIB, 2048))
    damaged[bit // 8] ^= 1 << bit % 8
    assert read_layout(bytes(damaged)) is None


@_any_time
@given(noise=st.binary(max_size=2048))
def test_noise_is_no_table(noise: bytes) -> None:
    assert read_layout(noise) is None


def test_raw_and_compressed_image_are_the_same_stream(image_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(zstd.compress(image_file.read_bytes()))
    assert content_of(packed) == content_of(image_file) == image_file.read_bytes()
    with DiskImage(packed) as image:
        assert image.layout == Layout(SIZE, ESP_OFFSET, frozenset({ESP, ROOT_X86_64}))


def test_image_of_several_frames_is_one(image_file: Path, tmp_path: Path) -> None:
    raw = image_file.read_bytes()
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(zstd.compress(raw[: 3 * MIB]) + zstd.compress(raw[3 * MIB :]))
    assert content_of(packed) == raw


def test_image_through_a_pipe(image_file: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(image_file.read_bytes()))
    writer.start()
    assert content_of(pipe) == image_file.read_bytes()
    writer.join()


@_same_file
@given(data=st.data())
def test_truncated_zst_is_noticed(data: st.DataObject, image_file: Path, tmp_path: Path) -> None:
    whole = zstd.compress(image_file.read_bytes())
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ImageFileError, match=r"fetch it again|not a disk image"):
        content_of(packed)


@_same_file
@given(data=st.data())
def test_damaged_zst_is_noticed(data: st.DataObject, image_file: Path, tmp_path: Path) -> None:
    raw = image_file.read_bytes()
    damaged = bytearray(zstd.compress(raw, options=_CHECKED))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(damaged)
    try:
        content = content_of(packed)
    except ImageFileError:
        return
    assert content == raw, "a bit without meaning may be flipped, the content may not"


@pytest.mark.parametrize("change", [-SECTOR, -SIZE // 2, SECTOR])
def test_raw_image_of_another_length_is_refused_at_once(
    change: int, image_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "image.raw"
    other.write_bytes((image_file.read_bytes() + bytes(SECTOR))[: SIZE + change])
    with pytest.raises(
        ImageFileError, match=f"has {SIZE + change} bytes, its partition table speaks of {SIZE}"
    ):
        DiskImage(other)


def test_compressed_image_that_goes_on_is_refused(image_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(zstd.compress(image_file.read_bytes() + bytes(SECTOR)))
    with pytest.raises(ImageFileError, match="longer than its partition table says"):
        content_of(packed)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(2 * MIB), b"\x1f\x8b" * MIB])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"not a disk image|ends too early"):
        DiskImage(file)


def test_table_of_a_disk_smaller_than_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(partition_table(64 * SECTOR, []).ljust(2 * MIB, b"\0"))
    with pytest.raises(ImageFileError, match=f"disk of {64 * SECTOR} bytes"):
        DiskImage(file)


def test_partition_in_the_block_that_is_written_last_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(esp_table(2 * MIB, 64).ljust(2 * MIB, b"\0"))
    with pytest.raises(ImageFileError, match="has a partition in its first"):
        DiskImage(file)
