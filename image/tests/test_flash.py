"""Flashing real block devices: loop devices over files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from disk_images import ESP, ESP_OFFSET, MIB, ROOT_OFFSET, SECTOR, SIZE, esp_table, partition_table

from holdfast_image.card import Card
from holdfast_image.cli import image
from holdfast_image.disk_image import DiskImage, name_esp
from holdfast_image.errors import FlashError
from holdfast_image.flash import compare, write_blocks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make loop devices")

DRIVE_BYTES = 16 * MIB
LoopMaker = Callable[..., Path]


def flashed(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(image, ["flash", *map(str, arguments)], input=answer)


def error_of(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    error = json.loads(result.stdout)["error"]
    assert isinstance(error, str)
    return error


def content(device: Path, count: int = SIZE) -> bytes:
    with device.open("rb") as file:
        return file.read(count)


def is_flashed(now: bytes, raw: bytes) -> bool:
    """Tell whether a drive holds an image, but for the id of the EFI system partition."""
    assert now[:MIB] != raw[:MIB]
    heads = {name_esp(content[:MIB], uuid.UUID(int=0)) for content in (now, raw)}
    return len(heads) == 1 and now[MIB:] == raw[MIB:]


def is_untouched(device: Path, size: int = DRIVE_BYTES) -> bool:
    return content(device, size) == b"\xa5" * size


def is_empty_to_firmware(device: Path) -> bool:
    """Neither a partition table at the beginning nor an old copy of one at the end."""
    whole = content(device, DRIVE_BYTES)
    return whole[:MIB] == bytes(MIB) and whole[-MIB:] == bytes(MIB)


@pytest.mark.parametrize("size", [SIZE, DRIVE_BYTES], ids=["just large enough", "larger"])
def test_drive_holds_the_image(size: int, image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(size)
    result = flashed(image_file, device, "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert is_flashed(content(device), image_file.read_bytes())
    assert "first boot: no fleet" in result.stderr
    said = json.loads(result.stdout)
    assert (said["device"], said["size_bytes"]) == (str(device), SIZE)
    assert said["sent_bytes"] < SIZE - MIB, "zeros are not sent"


def test_each_drive_has_an_id_of_its_own(image_file: Path, loop_drive: LoopMaker) -> None:
    def ids(drive: Path) -> list[tuple[str, str]]:
        told = subprocess.run(["sfdisk", "--json", drive], check=True, capture_output=True, text=True)
        table = json.loads(told.stdout)["partitiontable"]
        return [(table["id"], "drive"), *((part["uuid"], part["type"]) for part in table["partitions"])]

    drives = [loop_drive(SIZE), loop_drive(DRIVE_BYTES)]
    assert all(flashed(image_file, drive, "--yes").exit_code == 0 for drive in drives)
    built, first, second = ids(image_file), *map(ids, drives)
    esp = next(index for index, (_, kind) in enumerate(built) if kind == str(ESP).upper())
    assert len({built[esp], first[esp], second[esp]}) == 3
    for other in (first, second):
        assert other[:esp] + other[esp + 1 :] == built[:esp] + built[esp + 1 :]


def test_compressed_image_with_first_boot_configuration(
    image_file: Path, tmp_path: Path, loop_drive: LoopMaker
) -> None:
    device = loop_drive(DRIVE_BYTES)
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(zstd.compress(image_file.read_bytes()))
    result = flashed(packed, device, "--yes", "--json", "--host-name", "arm-02")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["credentials"] == ["holdfast.robot-id", "system.hostname"]
    raw = image_file.read_bytes()
    now = content(device)
    assert is_flashed(now[:ESP_OFFSET] + now[ROOT_OFFSET:], raw[:ESP_OFFSET] + raw[ROOT_OFFSET:])
    listed = subprocess.run(
        ["mdir", "-b", "-i", f"{device}@@{ESP_OFFSET}", "::/loader/credentials"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "holdfast.robot-id.cred" in listed.stdout


def test_a_drive_that_shall_encrypt_and_has_a_reset_line(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    options = ("--encrypt", "--reset-line", "gpiochip0:17")
    result = flashed(image_file, device, "--json", *options, answer="y\n")
    assert result.exit_code == 0, result.output
    assert "without a TPM 2.0 it will not start" in result.stderr
    assert "gpiochip0:17 high while it starts" in result.stderr
    assert json.loads(result.stdout)["encrypt"] is True
    assert json.loads(result.stdout)["reset_line"] is True
    listed = subprocess.run(
        ["mdir", "-b", "-i", f"{device}@@{ESP_OFFSET}", "::/EFI/holdfast"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(listed.stdout.split()) == ["::/EFI/holdfast/encrypt", "::/EFI/holdfast/reset-line"]


def test_a_board_without_a_tpm_cannot_encrypt(tmp_path: Path, loop_drive: LoopMaker) -> None:
    file = tmp_path / "image.raw"
    file.write_bytes(esp_table(2 * MIB, ESP_OFFSET // SECTOR).ljust(2 * MIB, b"\0"))
    device = loop_drive(DRIVE_BYTES)
    assert "not for x86-64" in error_of(flashed(file, device, "--yes", "--json", "--encrypt"), 2)
    assert is_untouched(device)


def test_long_stretch_of_zeros_replaces_what_was_there(tmp_path: Path, loop_drive: LoopMaker) -> None:
    size = 70 * MIB
    file = tmp_path / "image.raw"
    file.write_bytes(partition_table(size, []))
    os.truncate(file, size)
    device = loop_drive(size)
    assert flashed(file, device, "--yes").exit_code == 0
    assert content(device, size) == file.read_bytes()


def test_image_without_a_place_for_the_first_boot_configuration(
    tmp_path: Path, loop_drive: LoopMaker
) -> None:
    file = tmp_path / "image.raw"
    file.write_bytes(partition_table(2 * MIB, []).ljust(2 * MIB, b"\0"))
    device = loop_drive(DRIVE_BYTES)
    error = error_of(flashed(file, device, "--yes", "--json", "--host-name", "arm-02"), 2)
    assert "no EFI system partition" in error
    assert is_untouched(device)


def test_question_shows_the_drive_and_no_is_no(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    for answer in ("n\n", ""):
        result = flashed(image_file, device, "--host-name", "arm-02", answer=answer)
        assert result.exit_code == 1
        assert f"{device}: " in result.stderr
        assert "16.8 MB" in result.stderr
        assert "first boot: host name and robot id arm-02" in result.stderr
        assert "nothing was written" in result.stderr
    assert is_untouched(device)


def test_yes_is_yes(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    result = flashed(image_file, device, answer="y\n")
    assert result.exit_code == 0, result.output
    assert "is ready" in result.stdout
    assert is_flashed(content(device), image_file.read_bytes())


@pytest.mark.parametrize(
    "option",
    [
        ("--host-name", "Arm_2"),
        ("--nats", "http://hub"),
        ("--ssh-key", __file__),
        ("--robot", __file__),
        ("--wifi", "home"),
        ("--wifi-country", "DE"),
    ],
)
def test_wrong_option_is_told_before_anything_is_written(
    option: tuple[str, str], image_file: Path, loop_drive: LoopMaker
) -> None:
    device = loop_drive(DRIVE_BYTES)
    assert flashed(image_file, device, "--yes", *option).exit_code == 2
    assert is_untouched(device)


def test_password_of_a_wifi_comes_from_the_environment(
    image_file: Path, loop_drive: LoopMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = loop_drive(DRIVE_BYTES)
    options = ("--yes", "--json", "--wifi", "home", "--wifi-country", "DE")
    error = error_of(flashed(image_file, device, *options), 2)
    assert "HOLDFAST_WIFI_PASSWORD is not set" in error
    assert is_untouched(device)
    monkeypatch.setenv("HOLDFAST_WIFI_PASSWORD", "password")
    result = flashed(image_file, device, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["credentials"] == ["holdfast.wifi"]


def test_too_small_drive(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(SIZE - SECTOR)
    error = error_of(flashed(image_file, device, "--yes", "--json"), 1)
    assert f"({SIZE - SECTOR} bytes)" in error
    assert f"({SIZE} bytes)" in error
    assert is_untouched(device, SIZE - SECTOR)


def test_read_only_drive(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES, "--read-only")
    assert "is read-only" in error_of(flashed(image_file, device, "--yes", "--json"), 1)
    assert is_untouched(device)


def test_mounted_drive(image_file: Path, tmp_path: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, place], check=True)
    try:
        (place / "file").write_text("precious")
        error = error_of(flashed(image_file, device, "--yes", "--json"), 1)
        assert f"is mounted at {place}" in error
        assert (place / "file").read_text() == "precious"
    finally:
        subprocess.run(["umount", place], check=True)


def test_drive_that_another_program_has_claimed(image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    claim = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        error = error_of(flashed(image_file, device, "--yes", "--json"), 1)
    finally:
        os.close(claim)
    assert "in use by another program" in error
    assert is_untouched(device)


def test_what_is_no_drive(image_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is not a drive" in error_of(flashed(image_file, file, "--yes", "--json"), 2)
    assert "No such file" in error_of(flashed(image_file, tmp_path / "none", "--yes", "--json"), 2)
    assert not file.read_bytes()


def test_image_that_is_none(tmp_path: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(DRIVE_BYTES)
    file = tmp_path / "file"
    file.write_bytes(bytes(2 * MIB))
    assert "not a disk image" in error_of(flashed(file, device, "--yes", "--json"), 1)
    assert is_untouched(device)


@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_damaged_zst_leaves_a_drive_that_says_so(
    damage: str, image_file: Path, tmp_path: Path, loop_drive: LoopMaker
) -> None:
    device = loop_drive(DRIVE_BYTES)
    whole = bytearray(
        zstd.compress(image_file.read_bytes(), options={int(zstd.CompressionParameter.checksum_flag): 1})
    )
    if damage == "corrupt":
        whole[len(whole) // 2] ^= 1
    packed = tmp_path / "image.raw.zst"
    packed.write_bytes(whole if damage == "corrupt" else whole[: len(whole) // 2])
    error = error_of(flashed(packed, device, "--yes", "--json"), 1)
    assert "is damaged" in error
    assert f"{device} was erased and is not usable" in error
    assert is_empty_to_firmware(device)


@pytest.mark.parametrize("offset", [MIB, ROOT_OFFSET + MIB // 2, ROOT_OFFSET + MIB + 17, SIZE - 1])
def test_drive_that_loses_a_byte_is_noticed(offset: int, image_file: Path, loop_drive: LoopMaker) -> None:
    device = loop_drive(SIZE)
    with DiskImage(image_file) as disk_image, Card(device, SIZE) as card:
        written = write_blocks(disk_image, card, lambda _: None)
        compare(written, card, lambda _: None)
        with device.open("r+b", buffering=0) as file:
            file.seek(offset)
            (before,) = file.read(1)
            file.seek(offset)
            file.write(bytes([before ^ 1]))
        with pytest.raises(FlashError, match=f"in the block at {offset // MIB * MIB} bytes"):
            compare(written, card, lambda _: None)


def test_drive_that_fails_half_way(image_file: Path, failing_drive: Path) -> None:
    error = error_of(flashed(image_file, failing_drive, "--yes", "--json"), 1)
    assert f"{failing_drive} failed (" in error
    assert f"{failing_drive} was erased and is not usable" in error
    assert content(failing_drive, MIB) == bytes(MIB)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_stopped_half_way(
    number: signal.Signals, image_file: Path, tmp_path: Path, loop_drive: LoopMaker
) -> None:
    device = loop_drive(DRIVE_BYTES)
    pipe = tmp_path / "image.raw"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        # A runner in the background may ignore signals, and its children with it.
        [
            *("env", "--default-signal", sys.executable, "-m", "holdfast.cli"),
            *("image", "flash", str(pipe), str(device), "--yes"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe.open("wb", buffering=0) as file:
        # What the pipe does not hold back of this has been taken, so that the drive is being written.
        file.write(image_file.read_bytes()[: SIZE - 2 * MIB])
        process.send_signal(number)
    # The end of the pipe releases a read that began in the instant in which the signal arrived.
    _, said = process.communicate()
    assert is_empty_to_firmware(device)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 1
        assert "stopped before it was done" in said
        assert "was erased and is not usable" in said
