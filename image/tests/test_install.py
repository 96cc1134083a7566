"""What `holdfast os install` refuses, and that it does not write anything then."""

from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_images import EFI_PROGRAMS
from programs import program

from holdfast.errors import RefusedError
from holdfast_image.guest.install import LIST, install
from holdfast_image.guest.version_files import Installed
from holdfast_image.guest.versions import Memory
from holdfast_image.payload import stage_update, write_list
from holdfast_image.signing import Owner

IMAGE = Path(__file__).parents[1]
TRANSFERS = Path("mkosi.extra/usr/lib/sysupdate.d")
BOOT_LOADERS = ("systemd-boot", "u-boot")
BOARD = "qemu-x86-64"
ROOT_ID = "e9972040e53727a42d9aba1573450f8c"


class Loader:
    """A boot loader with these versions."""

    def __init__(
        self, *versions: Installed, damaged: tuple[str, ...] = (), secure_boot: bool = False
    ) -> None:
        self.versions = list(versions)
        self.withdrawn = list(damaged)
        self.secure_boot = secure_boot
        self.trials: list[str] = []
        self.forgotten: list[str] = []

    def installed(self) -> list[Installed]:
        return self.versions

    def damaged(self) -> list[str]:
        return list(self.withdrawn)

    def forget_damaged(self, version: str) -> None:
        self.withdrawn.remove(version)

    def forget_installed(self, version: str) -> None:
        self.forgotten.append(version)

    def counts(self) -> bool:
        return True

    def starts_only_signed(self) -> bool:
        return self.secure_boot

    def begin_trial(self, version: str) -> None:
        self.trials.append(version)

    def mark_good(self) -> None:
        raise NotImplementedError

    def mark_bad(self, version: str) -> None:
        raise NotImplementedError


@pytest.fixture
def update(tmp_path: Path) -> Path:
    output = tmp_path / "output"
    output.mkdir()
    for name in ("image.efi", f"image.root.{ROOT_ID}.raw", f"image.verity.{ROOT_ID}.raw"):
        (output / name).write_text(name)
    stage_update(output, BOARD, "1.1.0")
    return output / "update"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    (tmp_path / "os").mkdir()
    memory = Memory(tmp_path / "os")
    memory.remember_counting()
    return memory


def installed(update: Path, memory: Memory, *versions: Installed) -> list[tuple[Path, str]]:
    """Return what was given to systemd-sysupdate."""
    given: list[tuple[Path, str]] = []
    loader = Loader(*(versions or [Installed("1.0.0", running=True)]))
    install(update, loader, memory, BOARD, lambda folder, version: given.append((folder, version)))
    return given


def test_the_slot_of_a_damaged_version_is_free_before_anything_is_written(
    update: Path, memory: Memory
) -> None:
    done: list[str] = []
    loader = Loader(Installed("1.0.0", running=True), damaged=("1.1.0",))
    install(update, loader, memory, BOARD, lambda _, version: done.append(f"write {version}"), done.append)
    assert done == ["1.1.0", "write 1.1.0"]
    assert loader.trials == ["1.1.0"]
    assert loader.damaged() == []


def test_only_the_slot_on_the_robots_own_drive_is_made_an_empty_one(
    update: Path, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another drive, plugged in, has the same version on it."""

    def listed(drive: str) -> dict[str, object]:
        labels = ["esp", "holdfast_1.0.0_verity", "holdfast_1.0.0", "holdfast_1.1.0_verity", "holdfast_1.1.0"]
        parts = [{"partlabel": label, "partn": number} for number, label in enumerate(labels, 1)]
        return {"partlabel": None, "partn": None, "pkname": None, "name": drive, "children": parts}

    own, other = listed("vda"), listed("sda")
    programs = {
        "bootctl": "[ \"$*\" = '--print-root-device --print-root-device' ] && echo /dev/vda",
        "lsblk": f"""case $* in
            *\\ /dev/vda) echo '{json.dumps({"blockdevices": [own]})}' ;;
            *) echo '{json.dumps({"blockdevices": [other, own]})}' ;;
            esac""",
        "sfdisk": f'echo "$@" >>{tmp_path}/relabelled',
    }
    for name, script in programs.items():
        program(tmp_path / "bin", name, script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    loader = Loader(Installed("1.0.0", running=True), damaged=("1.1.0",))
    install(update, loader, memory, BOARD, lambda *_: None)
    options = "--no-reread --no-tell-kernel --part-label"
    relabelled = (tmp_path / "relabelled").read_text().splitlines()
    assert relabelled == [f"{options} /dev/vda {number} _empty" for number in (4, 5)]


def test_a_refused_install_leaves_the_damaged_version_as_it_is(update: Path, memory: Memory) -> None:
    loader = Loader(Installed("1.0.0", running=True), damaged=("0.9.0",))
    (update / LIST).write_text("")
    with pytest.raises(RefusedError):
        install(update, loader, memory, BOARD, lambda *_: None, pytest.fail)
    assert loader.damaged() == ["0.9.0"]
    assert loader.trials == []


def test_what_was_left_of_the_version_is_gone_before_it_is_written(update: Path, memory: Memory) -> None:
    loader = Loader(Installed("1.0.0", running=True), Installed("1.1.0", running=False, tries_left=3))
    seen: list[list[str]] = []
    install(update, loader, memory, BOARD, lambda *_: seen.append(list(loader.forgotten)))
    assert seen == [["1.1.0"]]


def test_a_newer_version_is_installed_and_what_takes_long_is_told(
    update: Path, memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installed(update, memory) == [(update, "1.1.0")]
    said = capsys.readouterr()
    assert "comparing version 1.1.0 with its list" in said.err
    assert "writing version 1.1.0 into the slot that does not run" in said.err
    assert said.out == ""


def changed_list(**changes: object) -> Callable[[Path], None]:
    def change(update: Path) -> None:
        (update / LIST).write_text(json.dumps(json.loads((update / LIST).read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda update: (update / LIST).unlink(), "there is no update.json"),
        (lambda update: (update / LIST).write_text("{"), "is damaged"),
        (lambda update: (update / LIST).write_text('{"version": "1.1.0"}'), "is damaged"),
        (changed_list(version="../1"), "names the version"),
        (changed_list(board="pi"), "is for pi"),
        (changed_list(version="1.0.0"), "not newer than 1.0.0"),
        (changed_list(version="0.9.12"), "not newer than 1.0.0"),
        (lambda update: (update / "holdfast_1.1.0.efi").write_text("x"), "holdfast_1.1.0.efi is not what"),
        (lambda update: (update / "holdfast_1.1.0.efi").unlink(), "No such file"),
        (changed_list(sha256={}), "holdfast_1.1.0.efi is not in update.json"),
        (
            lambda update: (update / "holdfast_1.0.0.efi").touch(),
            "holdfast_1.0.0.efi is not in update.json, so it is of another version; remove the folder",
        ),
    ],
)
def test_refused_folders(update: Path, memory: Memory, change: Callable[[Path], object], why: str) -> None:
    change(update)
    with pytest.raises(RefusedError, match=re.escape(why)):
        installed(update, memory)


def test_no_folder(tmp_path: Path, memory: Memory) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(RefusedError, match=re.escape(f"there is no update.json in {place}")):
            installed(place, memory)


def test_refused_where_the_boot_loader_is_not_known_to_count(update: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="nobody has seen"):
        installed(update, Memory(tmp_path))


@pytest.mark.parametrize(
    "versions",
    [[Installed("1.0.0", True, 2)], [Installed("1.0.0", True, 0)], [Installed("1.0.0", running=False)]],
)
def test_refused_while_a_trial_is_under_way(update: Path, memory: Memory, versions: list[Installed]) -> None:
    with pytest.raises(RefusedError, match="on trial"):
        installed(update, memory, *versions)


def test_refused_what_has_failed_here(update: Path, memory: Memory) -> None:
    good = Installed("1.0.0", running=True)
    with pytest.raises(RefusedError, match=r"1\.1\.0 has failed on this robot: it was tried"):
        installed(update, memory, good, Installed("1.1.0", False, 0))
    # It is known when the boot loader has forgotten it.
    with pytest.raises(RefusedError, match="has failed"):
        installed(update, memory, good)


def test_where_firmware_checks_signatures_a_kernel_without_one_is_refused(
    update: Path, memory: Memory, tmp_path: Path
) -> None:
    (unsigned,) = EFI_PROGRAMS.glob("linux*.efi.stub")
    owner = Owner.make(tmp_path / "owner", "owner")
    kernel = update / "holdfast_1.1.0.efi"
    kernel.write_bytes(unsigned.read_bytes())
    write_list(update, BOARD, "1.1.0")
    loader = Loader(Installed("1.0.0", running=True), damaged=("0.9.0",), secure_boot=True)
    with pytest.raises(RefusedError, match=r"1\.1\.0 is not signed.*holdfast image sign"):
        install(update, loader, memory, BOARD, lambda *_: None, pytest.fail)
    owner.sign(kernel)
    write_list(update, BOARD, "1.1.0")
    assert install(update, loader, memory, BOARD, lambda *_: None, lambda _: None) == "1.1.0"


@pytest.mark.parametrize("boot_loader", BOOT_LOADERS)
def test_every_file_of_an_update_is_transferred_the_kernel_last(update: Path, boot_loader: str) -> None:
    files = {file.name for file in update.iterdir()} - {LIST}
    last = ""
    folders = (IMAGE / TRANSFERS, IMAGE / "mkosi.profiles" / boot_loader / TRANSFERS)
    for transfer in sorted(
        (file for folder in folders for file in folder.iterdir()), key=lambda file: file.name
    ):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(transfer)
        pattern = re.escape(parser["Source"]["MatchPattern"])
        pattern = pattern.replace("@v", r"[0-9.]+").replace("@u", "[0-9a-f]{32}")
        (last,) = [file for file in files if re.fullmatch(pattern, file)]
        files.remove(last)
        assert parser["Transfer"]["ProtectVersion"] == "%A"
    assert not files
    assert last.endswith(".efi")
