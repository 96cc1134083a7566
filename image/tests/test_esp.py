"""Credentials in the EFI system partition."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from disk_images import ESP_BYTES, ESP_OFFSET, MIB, ROOT_OFFSET, make_image

from holdfast_image.errors import FlashError, HostError
from holdfast_image.esp import compare_files, require_programs, seal, write_files

TOLD = {"holdfast.robot-id": "arm-02", "ssh.authorized_keys.root": "ssh-ed25519 AAAA\n" * 20}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_image(tmp_path / "disk")


def unsealed(disk: Path, name: str) -> str:
    """Return a credential as the robot's systemd reads it."""
    place = ("-i", f"{disk}@@{ESP_OFFSET}", f"::/loader/credentials/{name}.cred")
    sealed = subprocess.run(["mtype", *place], check=True, capture_output=True).stdout
    opened = subprocess.run(
        ["systemd-creds", "decrypt", f"--name={name}", "-", "-"],
        input=sealed,
        capture_output=True,
        check=True,
    )
    return opened.stdout.decode()


def test_systemd_reads_what_was_written(disk: Path) -> None:
    write_files(disk, ESP_OFFSET, seal(TOLD))
    assert {name: unsealed(disk, name) for name in TOLD} == TOLD


def test_nothing_outside_the_partition_changes(disk: Path) -> None:
    before = disk.read_bytes()
    write_files(disk, ESP_OFFSET, seal(TOLD))
    after = disk.read_bytes()
    assert after != before
    assert after[:ESP_OFFSET] + after[ROOT_OFFSET:] == before[:ESP_OFFSET] + before[ROOT_OFFSET:]


def test_credentials_that_are_there_are_replaced(disk: Path) -> None:
    write_files(disk, ESP_OFFSET, seal({**TOLD, "holdfast.robot-id": "arm-01"}))
    write_files(disk, ESP_OFFSET, seal(TOLD))
    assert unsealed(disk, "holdfast.robot-id") == "arm-02"


def test_other_content_is_noticed(disk: Path) -> None:
    write_files(disk, ESP_OFFSET, seal(TOLD))
    compare_files(disk, ESP_OFFSET, {})
    with pytest.raises(
        FlashError, match=r"differs from what was written: loader/credentials/holdfast\.robot-id"
    ):
        compare_files(disk, ESP_OFFSET, seal(TOLD))  # sealed with another initialisation vector


def test_a_file_may_be_empty_and_in_a_folder_that_is_new(disk: Path) -> None:
    files = {"EFI/holdfast/encrypt": b"", "EFI/other": b"2"}
    write_files(disk, ESP_OFFSET, files)
    compare_files(disk, ESP_OFFSET, files)
    with pytest.raises(FlashError, match="differs from what was written: EFI/holdfast/decrypt"):
        compare_files(disk, ESP_OFFSET, {"EFI/holdfast/decrypt": b""})


def test_full_partition(disk: Path) -> None:
    with pytest.raises(FlashError, match=r"cannot be written: .*full"):
        write_files(disk, ESP_OFFSET, {"large": bytes(ESP_BYTES)})


def test_no_fat_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4 * MIB))
    with pytest.raises(FlashError, match="cannot be written"):
        write_files(disk, ESP_OFFSET, seal(TOLD))


def test_missing_program_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="install the package"):
        require_programs()
