"""The robot's end of how U-Boot counts; hil_tests/lifecycle/test_u_boot.py has U-Boot's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_image.errors import UsageError
from holdfast_image.guest.firstboot import SECTOR_BYTES
from holdfast_image.guest.trial import is_on_trial
from holdfast_image.guest.u_boot import TRIES, UBoot, tries_file, versions_file
from holdfast_image.guest.version_files import Installed

KERNEL = b"a kernel"
CRC = "d87dce5a"
"""Of that, as U-Boot's script compares it."""
"""The CRC-32 of an empty file."""


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    for folder in ("EFI/Linux", "EFI/holdfast"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def loader(esp: Path, running: str, *installed: str, tries: str = "", **versions: str) -> UBoot:
    for version in installed:
        (esp / f"EFI/Linux/holdfast_{version}.efi").write_bytes(KERNEL)
    (esp / "EFI/holdfast/versions.env").write_text(versions_file(**versions))
    if tries:
        (esp / "EFI/holdfast/tries.env").write_text(tries)
    return UBoot(running, esp)


def starts(esp: Path) -> str:
    text = (esp / "EFI/holdfast/versions.env").read_text()
    assert len(text) == SECTOR_BYTES
    return text.rstrip("\0")


def test_an_installed_version_is_tried_three_times_before_the_good_one(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "1.0.0", "1.1.0", good="1.0.0", before="0.9.0")
    boot.begin_trial("1.1.0")
    assert starts(esp) == f"good=1.0.0\nbefore=0.9.0\ntrial=1.1.0\ntrial_crc={CRC}\n"
    tries = (esp / "EFI/holdfast/tries.env").read_bytes()
    assert tries.rstrip(b"\0") == b"tries=3\ntries_of=1.1.0\n"
    assert len(tries) == SECTOR_BYTES
    assert boot.installed() == [Installed("1.0.0", running=True), Installed("1.1.0", False, TRIES)]


@pytest.mark.parametrize(
    ("running", "tries", "counts"),
    [
        ("1.1.0", tries_file("1.1.0", 2), True),
        ("1.1.0", tries_file("1.1.0", 0), True),
        ("1.1.0", tries_file("1.1.0", 3), False),
        ("1.0.0", tries_file("1.1.0", 2), False),
    ],
)
def test_u_boot_counts_if_a_try_is_gone_from_what_runs(
    esp: Path, running: str, tries: str, counts: bool
) -> None:
    assert loader(esp, running, good="1.0.0", trial="1.1.0", tries=tries).counts() is counts


@pytest.mark.parametrize("tries", ["", tries_file("1.2.0", 3), "tries=-1\ntries_of=1.1.0\n", "\0" * 512])
def test_a_trial_without_tries_of_its_own_has_none(esp: Path, tries: str) -> None:
    boot = loader(esp, "1.0.0", "1.1.0", good="1.0.0", trial="1.1.0", tries=tries)
    assert [found.exhausted for found in boot.installed()] == [True]


def test_a_version_that_has_proved_itself_comes_first_and_the_one_before_second(esp: Path) -> None:
    tried = tries_file("1.1.0", 2)
    noted = {"good": "1.0.0", "good_crc": "00000007", "before": "0.9.0", "trial": "1.1.0"}
    boot = loader(esp, "1.1.0", "1.0.0", "1.1.0", tries=tried, **noted)
    assert is_on_trial(boot)
    boot.mark_good()
    assert starts(esp) == f"good=1.1.0\ngood_crc={CRC}\nbefore=1.0.0\nbefore_crc=00000007\n"
    assert boot.installed() == [Installed("1.0.0", running=False), Installed("1.1.0", running=True)]
    assert not is_on_trial(boot)
    boot.mark_good()
    assert starts(esp) == f"good=1.1.0\ngood_crc={CRC}\nbefore=1.0.0\nbefore_crc=00000007\n"


def test_the_first_version_is_on_trial_and_then_good(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "1.0.0", good="1.0.0", trial="1.0.0", tries=tries_file("1.0.0", 2))
    assert is_on_trial(boot)
    boot.mark_good()
    assert starts(esp) == f"good=1.0.0\ngood_crc={CRC}\n"
    assert not is_on_trial(boot)


def test_a_version_marked_bad_is_not_found_by_its_name(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "1.0.0", "1.1.0", good="1.1.0", before="1.0.0")
    boot.mark_bad("1.1.0")
    assert not (esp / "EFI/Linux/holdfast_1.1.0.efi").exists()
    assert boot.installed() == [Installed("1.0.0", running=True), Installed("1.1.0", False, 0)]


def test_what_u_boot_reads_is_written_over_in_place(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "1.0.0", "1.1.0", good="1.0.0", tries=tries_file("1.0.0", 1))
    notes = [esp / "EFI/holdfast/versions.env", esp / "EFI/holdfast/tries.env"]
    before = [note.stat().st_ino for note in notes]
    boot.begin_trial("1.1.0")
    boot.mark_good()
    assert [note.stat().st_ino for note in notes] == before


def test_what_a_power_cut_left_under_its_first_name_is_read(esp: Path) -> None:
    loader(esp, "1.0.0", "1.0.0", good="1.0.0", trial="1.1.0")
    file = esp / "EFI/holdfast/versions.env"
    file.rename(file.with_name("versions.env.partial"))
    UBoot("1.0.0", esp).mark_good()
    assert starts(esp) == f"good=1.0.0\ngood_crc={CRC}\n"


def test_a_drive_that_does_not_say_what_is_started_is_told(esp: Path) -> None:
    with pytest.raises(UsageError, match=r"versions\.env is missing"):
        UBoot("1.0.0", esp).installed()
