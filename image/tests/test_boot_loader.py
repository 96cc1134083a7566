"""Versions, tries and what is remembered of them, on a folder that stands for the EFI system partition."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from programs import program

from holdfast_image.errors import UsageError
from holdfast_image.guest.boot_loader import running_version
from holdfast_image.guest.fallback import condemn
from holdfast_image.guest.firstboot import SECTOR_BYTES
from holdfast_image.guest.systemd_boot import RESET_ENTRY, SystemdBoot
from holdfast_image.guest.version_files import Installed
from holdfast_image.guest.versions import Memory

SLOT = Path(__file__).parents[1] / "mkosi.images/initrd/mkosi.extra/usr/lib/holdfast/slot"
VARIABLE = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    (tmp_path / "esp/EFI/Linux").mkdir(parents=True)
    (tmp_path / "os").mkdir()
    return tmp_path / "esp"


def loader(esp: Path, running: str, *files: str, counted: str | None = None) -> SystemdBoot:
    for file in files:
        (esp / "EFI/Linux" / file).write_text("a kernel")
    variables = esp.parent / "variables"
    variables.mkdir()
    if counted is not None:
        (variables / VARIABLE).write_bytes(b"\6\0\0\0" + f"\\EFI\\Linux\\{counted}\0".encode("utf-16-le"))
    return SystemdBoot(running, esp, variables)


def test_tries_are_in_the_names(esp: Path) -> None:
    files = (
        "holdfast_1.0.0.efi",
        "holdfast_1.1.0+3.efi",
        "holdfast_1.2.0+0-3.efi",
        "other.efi",
        "holdfast_x.efi",
    )
    found = loader(esp, "1.0.0", *files).installed()
    assert found == [
        Installed("1.0.0", running=True),
        Installed("1.1.0", running=False, tries_left=3),
        Installed("1.2.0", running=False, tries_left=0),
    ]
    assert [version.exhausted for version in found] == [False, False, True]


def test_a_withdrawn_version_is_no_version_to_boot(esp: Path) -> None:
    found = loader(esp, "1.0.0", "holdfast_1.0.0.efi", "holdfast_1.1.0.damaged", "other.damaged")
    assert found.damaged() == ["1.1.0"]
    assert [version.version for version in found.installed()] == ["1.0.0"]
    found.forget_damaged("1.1.0")
    assert found.damaged() == []
    assert [file.name for file in sorted((esp / "EFI/Linux").iterdir())] == [
        "holdfast_1.0.0.efi",
        "other.damaged",
    ]


@pytest.mark.parametrize(
    ("file", "counted", "counts"),
    [
        ("holdfast_1.0.0+2-1.efi", "holdfast_1.0.0+2-1.efi", True),
        ("holdfast_1.0.0+0-3.efi", "holdfast_1.0.0+0-3.efi", True),
        ("holdfast_1.0.0.efi", None, False),
        # U-Boot before 2025.07: it says so, cannot rename, and boots on.
        ("holdfast_1.0.0+3.efi", "holdfast_1.0.0+2-1.efi", False),
        ("holdfast_1.0.0+3.efi", "holdfast_1.0.0+3.efi", False),
    ],
)
def test_a_boot_loader_counts_if_the_name_has_changed(
    esp: Path, file: str, counted: str | None, counts: bool
) -> None:
    assert loader(esp, "1.0.0", file, counted=counted).counts() is counts


def offered(esp: Path) -> str | None:
    """Return what the menu's factory reset starts, if there is one."""
    entry = esp / RESET_ENTRY
    if not entry.exists():
        return None
    assert entry.stat().st_size == SECTOR_BYTES
    return dict(line.split(" ", 1) for line in entry.read_text().split("\n") if line)["efi"]


def test_the_menus_reset_starts_a_version_that_has_proved_itself(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "holdfast_0.9.0+3.efi", "holdfast_1.0.0.efi", "holdfast_1.1.0.efi")
    boot.mark_bad("0.9.0")
    assert offered(esp) == "/EFI/Linux/holdfast_1.0.0.efi", "the one that runs"
    boot.mark_bad("1.0.0")
    assert offered(esp) == "/EFI/Linux/holdfast_1.1.0.efi"


def test_no_reset_is_offered_where_no_version_has_proved_itself(esp: Path) -> None:
    loader(esp, "1.0.0", "holdfast_1.0.0+2-1.efi", "holdfast_1.1.0+3.efi").mark_bad("1.1.0")
    assert offered(esp) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"timeout 1\ndefault holdfast_*\n"),
        (b"#timeout 3", b"#timeout 3\ntimeout 1\ndefault holdfast_*\n"),
        (b"default holdfast_2*\n\ntimeout 5\n", b"default holdfast_2*\n\ntimeout 5\n"),
        (b"# \xe4\n", "# \ufffd\ntimeout 1\ndefault holdfast_*\n".encode()),
    ],
)
def test_the_menu_is_shown_and_starts_no_reset_by_itself(
    esp: Path, before: bytes | None, after: bytes
) -> None:
    configuration = esp / "loader/loader.conf"
    if before is not None:
        configuration.parent.mkdir()
        configuration.write_bytes(before)
    loader(esp, "1.0.0", "holdfast_1.0.0.efi").mark_good()
    assert configuration.read_bytes() == after
    assert offered(esp) == "/EFI/Linux/holdfast_1.0.0.efi"


def test_the_menus_reset_is_written_over_in_place(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "holdfast_1.0.0.efi", "holdfast_1.1.0.efi", "holdfast_1.2.0+3.efi")
    boot.mark_good()
    before = (esp / RESET_ENTRY).stat().st_ino
    boot.mark_bad("1.0.0")
    assert offered(esp) == "/EFI/Linux/holdfast_1.1.0.efi"
    assert (esp / RESET_ENTRY).stat().st_ino == before


def test_a_file_with_nothing_in_it_is_no_version_to_boot(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "holdfast_1.0.0.efi")
    (boot.folder / "holdfast_1.1.0+3-0.efi").touch()
    assert [found.version for found in boot.installed()] == ["1.0.0"]


@pytest.mark.parametrize(
    ("other", "content", "there"),
    [("1.1.0+3-0", "", False), ("1.1.0+3-0", "a kernel", True), ("1.1.0+0-3", "a kernel", False)],
)
def test_the_initrd_withdraws_no_version_for_one_that_cannot_be_started(
    esp: Path, other: str, content: str, there: bool
) -> None:
    boot = loader(esp, "1.0.0", "holdfast_1.0.0.efi")
    (boot.folder / f"holdfast_{other}.efi").write_text(content)
    (asks,) = re.findall(r"^other_version\(\) .*?^}$", SLOT.read_text(), re.MULTILINE | re.DOTALL)
    running = boot.folder / "holdfast_1.0.0.efi"
    asked = subprocess.run(["sh", "-c", f'esp={esp}; {asks}\nother_version "$1"', "sh", running], check=False)
    assert (asked.returncode == 0) is there


@pytest.mark.parametrize(
    ("read", "damaged"),
    [("exit 0", False), ("exit 1", True), ("sleep 100", False)],
    ids=["whole", "damaged", "slow"],
)
def test_a_slot_is_damaged_if_it_cannot_be_read_and_not_if_that_takes_long(
    tmp_path: Path, read: str, damaged: bool
) -> None:
    script = SLOT.read_text()
    (asks,) = re.findall(r"^is_damaged\(\) .*?^}$", script, re.MULTILINE | re.DOTALL)
    (slower,) = re.findall(r"^slower=\d+", script, re.MULTILINE)
    assert " 15m " in asks
    program(tmp_path, "dd", read)
    asks = asks.replace(" 15m ", " 0.5 ").replace("/usr/lib/systemd/systemd-veritysetup", "true")
    path = f"{tmp_path}:{os.environ['PATH']}"
    asks = f"root= tree= roothash= {slower}; {asks}\nis_damaged"
    asked = subprocess.run(["sh", "-c", asks], env={"PATH": path}, check=False)
    assert (asked.returncode == 0) is damaged


def test_what_an_installation_has_left_of_a_version_is_removed(esp: Path) -> None:
    names = ["holdfast_1.0.0.efi", "holdfast_1.1.0+2-1.efi", "holdfast_1.1.0.efi", "holdfast_1.1.0.damaged"]
    boot = loader(esp, "1.0.0", *names)
    (boot.folder / "holdfast_1.1.0+3-0.efi").touch()
    boot.forget_installed("1.1.0")
    left = {file.name for file in boot.folder.iterdir()}
    assert left == {"holdfast_1.0.0.efi", "holdfast_1.1.0.damaged"}


def test_what_a_power_cut_left_of_the_entry_is_replaced(esp: Path) -> None:
    (esp / RESET_ENTRY).parent.mkdir(parents=True)
    (esp / RESET_ENTRY).write_bytes(b"\xff\0")
    loader(esp, "1.0.0", "holdfast_1.0.0.efi").mark_good()
    assert offered(esp) == "/EFI/Linux/holdfast_1.0.0.efi"


def test_a_menu_that_cannot_be_written_keeps_no_version_from_being_marked(
    esp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (esp / "loader").touch()
    boot = loader(esp, "1.0.0", "holdfast_1.0.0.efi", "holdfast_1.1.0+3.efi")
    boot.mark_bad("1.1.0")
    boot.mark_good()
    assert (esp / "EFI/Linux/holdfast_1.1.0+0-0.efi").exists()
    assert capsys.readouterr().err.count("offers no factory reset") == 2


@pytest.mark.parametrize("file", ["holdfast_1.1.0+2-1.efi", "holdfast_1.1.0+0-3.efi", "holdfast_1.1.0.efi"])
def test_a_version_marked_good_has_no_counter(esp: Path, file: str) -> None:
    boot = loader(esp, "1.1.0", "holdfast_1.0.0.efi", file, "holdfast_1.2.0+3.efi")
    boot.mark_good()
    assert boot.installed() == [
        Installed("1.0.0", running=False),
        Installed("1.1.0", running=True),
        Installed("1.2.0", running=False, tries_left=3),
    ]


def test_a_version_marked_bad_has_no_tries(esp: Path) -> None:
    boot = loader(esp, "1.0.0", "holdfast_1.0.0.efi", "holdfast_1.1.0+1-2.efi")
    boot.mark_bad("1.0.0")
    boot.mark_bad("1.1.0")
    assert sorted(file.name for file in (esp / "EFI/Linux").iterdir()) == [
        "holdfast_1.0.0+0-0.efi",
        "holdfast_1.1.0+0-2.efi",
    ]
    with pytest.raises(UsageError, match=r"2\.0\.0 is not installed"):
        boot.mark_bad("2.0.0")


@pytest.mark.parametrize(
    ("files", "helps", "bad"),
    [
        (("holdfast_1.1.0+2-1.efi", "holdfast_1.0.0.efi"), True, set()),
        (("holdfast_1.1.0+0-3.efi", "holdfast_1.0.0.efi"), True, {"1.1.0"}),
        # Nothing is there to go back to: the robot stays up, and is tried again when it is switched on.
        (("holdfast_1.1.0+1-2.efi",), False, set()),
        (("holdfast_1.1.0+0-3.efi",), False, set()),
        (("holdfast_1.1.0+0-3.efi", "holdfast_1.0.0+0-3.efi"), False, set()),
        (("holdfast_1.1.0.efi",), False, set()),
    ],
)
def test_what_follows_an_unhealthy_boot(
    esp: Path, files: tuple[str, ...], helps: bool, bad: set[str]
) -> None:
    memory = Memory(esp.parent / "os")
    assert condemn(loader(esp, "1.1.0", *files), memory) is helps
    assert memory.bad().keys() == bad


def test_exhausted_versions_are_remembered_when_they_are_gone(esp: Path) -> None:
    memory = Memory(esp.parent / "os")
    memory.remember_bad("0.9.0", "somebody said so")
    memory.learn(
        loader(esp, "1.0.0", "holdfast_1.0.0+0-3.efi", "holdfast_1.1.0+0-3.efi", "holdfast_1.2.0+1.efi")
    )
    (esp / "EFI/Linux/holdfast_1.1.0+0-3.efi").unlink()
    assert memory.bad().keys() == {"0.9.0", "1.1.0"}
    assert memory.bad()["0.9.0"] == "somebody said so"


def test_that_the_boot_loader_counts_is_remembered(tmp_path: Path) -> None:
    assert not Memory(tmp_path).boot_loader_counts()
    Memory(tmp_path).remember_counting()
    assert Memory(tmp_path).boot_loader_counts()


def test_version_of_the_image(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nIMAGE_ID="holdfast"\nIMAGE_VERSION="1.2.0"\n')
    assert running_version(release) == "1.2.0"
    release.write_text("ID=debian\n")
    with pytest.raises(UsageError, match="run this on a robot"):
        running_version(release)


@pytest.mark.parametrize(("variable", "checked"), [(None, False), (0, False), (1, True)])
def test_secure_boot_is_what_the_firmware_says(esp: Path, variable: int | None, checked: bool) -> None:
    found = loader(esp, "1.0.0")
    if variable is not None:
        name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        (esp.parent / "variables" / name).write_bytes(bytes((6, 0, 0, 0, variable)))
    assert found.starts_only_signed() is checked
