"""The way of a factory reset: from the command to the initrd, and what systemd-repart then does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click.testing
import pytest
from answering_core import answering_core
from programs import program

from holdfast.errors import RefusedError
from holdfast.modes import MOVING
from holdfast.places import run_directory
from holdfast_image.first_boot import first_boot
from holdfast_image.guest.factory_reset import RESET_LINE, ResetLine, require_way_in, reset_line
from holdfast_image.guest.os_cli import operating_system
from holdfast_image.guest.systemd_boot import RESET_ENTRY
from holdfast_image.guest.versions import robot_memory
from holdfast_image.mkosi import DISK_BYTES

IMAGE = Path(__file__).parents[1]
ROBOT = IMAGE / "mkosi.extra/usr/lib/repart.d"
INITRD = IMAGE / "mkosi.images/initrd/mkosi.extra/usr/lib"
UNITS = INITRD / "systemd/system"
# What the script tells systemd-repart.
OPTIONS = "holdfast-repart.env"
REPART = UNITS / "systemd-repart.service.d/holdfast.conf"
NAMED = "/dev/holdfast-drive/holdfast-data"
ROOT_ID = "9e972040-e537-27a4-2d9a-ba1573450f8c"
TREE_ID = "0aa06f1c-5ff4-77a6-2dd4-4e41ef7e1d35"
ESP_ID = "c12a7328-4b1f-4a52-9a5b-1f4b7b0f2a6e"
PARTITIONS = (ESP_ID, ROOT_ID, TREE_ID)
ROOT_HASH = f"{ROOT_ID}{TREE_ID}".replace("-", "")


# The command


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data partition of a robot whose core does not run."""
    (tmp_path / "var/lib/holdfast/os").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "var/lib/holdfast"))
    monkeypatch.setenv("HOLDFAST_RUN_DIR", str(tmp_path / "run"))
    return tmp_path / "var"


def reset(*options: str, answer: str | None = None) -> click.testing.Result:
    return click.testing.CliRunner().invoke(operating_system, ["factory-reset", *options], input=answer)


def stored(var: Path) -> list[str]:
    return [file.name for file in (var / "lib/holdfast/os").iterdir()]


def test_it_says_what_will_be_lost_and_how_to_take_it_back(var: Path) -> None:
    asked = reset(answer="y\n")
    assert asked.exit_code == 0
    assert "robot.toml" in asked.stderr
    assert "At the next reboot" in asked.stdout
    assert "holdfast os factory-reset --cancel" in asked.stdout
    assert stored(var) == ["factory-reset"]


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_who_is_not_sure_loses_nothing(var: Path, answer: str) -> None:
    asked = reset("--json", answer=answer)
    assert asked.exit_code == 1
    assert "not confirmed" in json.loads(asked.stdout)["error"]
    assert stored(var) == []


def test_it_can_be_taken_back_as_often_as_one_likes(var: Path) -> None:
    assert json.loads(reset("--yes", "--json").stdout) == {"ok": True, "factory_reset": True}
    assert stored(var) == ["factory-reset"]
    for _ in range(2):
        assert json.loads(reset("--cancel", "--json").stdout) == {"ok": True, "factory_reset": False}
        assert stored(var) == []


@pytest.mark.parametrize("mode", sorted(MOVING))
def test_a_robot_that_may_move_is_not_reset(var: Path, mode: str) -> None:
    with answering_core(run_directory(), mode=mode):
        asked = reset("--yes")
    assert asked.exit_code == 1
    assert f"the robot is {mode}; disarm it first" in asked.stderr
    assert stored(var) == []


def latch(var: Path, text: str) -> None:
    (var / "lib/holdfast/safety").mkdir(exist_ok=True)
    (var / "lib/holdfast/safety/estop.json").write_text(text)


LATCHED = ['{"last_sequence":3,"latch_sequence":3,"reason":"\\"latch_sequence\\":0,"}', "{", "[]", ""]
CLEAR = '{"last_sequence":3,"latch_sequence":0,"reason":"","since":""}'


@pytest.mark.parametrize("record", LATCHED)
def test_a_latched_stop_is_not_forgotten_by_a_reset(var: Path, record: str) -> None:
    latch(var, record)
    asked = reset("--yes")
    assert asked.exit_code == 1
    assert "reset it first" in asked.stderr
    assert stored(var) == []


def test_a_stop_that_was_reset_is_no_hindrance(var: Path) -> None:
    latch(var, CLEAR)
    assert reset("--yes").exit_code == 0
    assert stored(var) == ["factory-reset"]


@pytest.mark.parametrize(
    ("signed", "tpm", "refused"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_robot_that_would_lock_everybody_out_is_not_reset(
    tmp_path: Path, signed: bool, tpm: bool, refused: bool
) -> None:
    if tpm:
        (tmp_path / "tpm").touch()
    expected = pytest.raises(RefusedError, match="nobody could log in") if refused else nullcontext()
    with expected:
        require_way_in(signed, tmp_path / "tpm")


@pytest.mark.parametrize("mode", ["disarmed", "fault"])
def test_a_robot_that_stands_still_is(var: Path, mode: str) -> None:
    with answering_core(run_directory(), mode=mode):
        assert reset("--yes").exit_code == 0
    assert stored(var) == ["factory-reset"]


def test_what_is_known_of_versions_is_not_on_the_data_partition(
    var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    esp = tmp_path / "esp"
    (esp / "EFI").mkdir(parents=True)
    program(tmp_path / "bin", "bootctl", f"echo {esp}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    robot_memory().remember_counting()
    robot_memory().remember_bad("1.2.0", "it hung")
    assert {file.name for file in (esp / "EFI/holdfast").iterdir()} == {"counted", "1.2.0.bad"}
    assert robot_memory().boot_loader_counts()
    assert robot_memory().bad() == {"1.2.0": "it hung"}
    assert stored(var) == []


# The initrd


@dataclass(frozen=True)
class Decided:
    """What the initrd's script passes on to systemd-repart."""

    makes: bool
    """Whether that may make a data partition that is missing."""
    encrypts: bool
    resets: bool


def slot(
    folder: Path,
    partition: str | None,
    mount: str,
    *,
    opens: bool = True,
    closes: bool = True,
    gpio: str = "exit 1",
    tpm: bool = False,
    secure_boot: bool | None = False,
    command_line: str = f"roothash={ROOT_HASH}",
    noted: Mapping[str, str] | None = None,
    drives: Sequence[Mapping[str, Sequence[str]]] = ({"vda": PARTITIONS},),
) -> Decided:
    """Let the initrd's script find a data partition with this in it, or none, and a line that `gpio` reads.

    `noted` is what systemd-boot has noted, by the variable's name; `drives` the ids of each drive's partitions, at each
    look. The data partition is on vda.
    """
    (folder / "run").mkdir(parents=True)
    (folder / NAMED.lstrip("/")).parent.mkdir(parents=True)
    (folder / "dev/mapper").mkdir()
    (folder / "cmdline").write_text(f"{command_line}\n")
    if tpm:
        (folder / "dev/tpmrm0").touch()
    (folder / "efivars").mkdir()
    for name, value in (noted or {}).items():
        variable = folder / f"efivars/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
        variable.write_bytes(b"\7\0\0\0" + f"{value}\0".encode("utf-16-le"))
    mapped = folder / "dev/mapper/holdfast-data"
    attach = f"touch {mapped}" if opens else "exit 1"
    detach = f"rm {mapped}" if closes else "exit 1"
    bin_folder = folder / "bin"
    program(bin_folder, "systemd-cryptsetup", f"case $1 in attach) {attach} ;; detach) {detach} ;; esac")
    analyze = {
        True: "ConditionSecurity=uefi-secureboot",
        False: "ConditionSecurity=!uefi-secureboot",
        None: "-",
    }
    program(bin_folder, "systemd-analyze", f"[ \"$*\" = 'condition {analyze[secure_boot]}' ]")
    (folder / "drives").mkdir()
    for number, found in enumerate(drives):
        lines = [f"{part} {drive}\n" for drive, parts in found.items() for part in parts]
        (folder / f"drives/{number}").write_text("".join([" \n", "0fc63daf sdz\n", *lines]))
    program(
        bin_folder,
        "lsblk",
        f"""case $* in
        *=PARTUUID,PKNAME) cat {folder}/drives/$(ls {folder}/drives | head -n 1)
            [ $(ls {folder}/drives | wc -l) = 1 ] || rm {folder}/drives/$(ls {folder}/drives | head -n 1) ;;
        *=MAJ:MIN\\ /dev/vda) echo 254:0 ;;
        *=MAJ:MIN\\ /dev/sda) echo 8:0 ;;
        *=PATH\\ /dev/*) printf '%s\\n' "${{4}}" "${{4}}1" ;;
        *) exit 1 ;;
        esac""",
    )
    # As the rule of udev does it.
    link = f"touch {folder}{NAMED}" if partition is not None else ":"
    linked = f"'trigger --settle /dev/vda /dev/vda1') [ ! -e {folder}/run/holdfast-drive/254:0 ] || {link} ;;"
    program(bin_folder, "udevadm", f'case "$*" in {linked} esac')
    program(bin_folder, "sleep", f"echo $1 >>{folder}/waited")
    program(bin_folder, "blkid", f"for device; do :; done; [ ! -e $device ] || echo {partition or ''}")
    program(bin_folder, "mount", f'echo "$@" >>{folder}/mounts\n[ "$2" = remount,rw ] && exit\n{mount}')
    program(bin_folder, "e2fsck", f"touch {folder}/checked")
    program(bin_folder, "umount", 'rm "$1" && mkdir "$1"')
    program(
        bin_folder, "gpiodetect", "echo 'gpiochip0 [other] (32 lines)'; echo 'gpiochip3 [button] (8 lines)'"
    )
    program(bin_folder, "gpioget", gpio)
    places = {
        "/usr/lib/holdfast/encrypted": str(INITRD / "holdfast/encrypted"),
        "/usr/lib/holdfast/open-data": str(bin_folder / "open-data"),
        ">/dev/kmsg": f">>{folder}/said",
        "/dev/holdfast-drive": str(folder / "dev/holdfast-drive"),
        "/dev/mapper": str(folder / "dev/mapper"),
        "/dev/tpmrm0": str(folder / "dev/tpmrm0"),
        "/run": str(folder / "run"),
        "/proc/cmdline": str(folder / "cmdline"),
        "/sys/firmware/efi/efivars": str(folder / "efivars"),
    }
    scripts = {name: (INITRD / "holdfast" / name).read_text() for name in ("open-data", "slot")}
    for path, stand_in in places.items():
        assert path in "".join(scripts.values())
        scripts = {name: script.replace(path, stand_in) for name, script in scripts.items()}
    for name, script in scripts.items():
        program(bin_folder, name, script)
    path = f"{bin_folder}:{os.environ['PATH']}"
    subprocess.run([bin_folder / "slot"], env={"PATH": path}, check=False)
    mounted = {file.name for file in (folder / "run").iterdir() if file.is_symlink()} - {"holdfast-repart.d"}
    assert not mounted
    made = (folder / "run/holdfast-repart.d").resolve()
    drop_ins = {str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()}
    assert not drop_ins or drop_ins == {"30-data.conf.d/tpm2.conf"}
    options = folder / "run" / OPTIONS
    resets = options.exists()
    assert not resets or options.read_text() == "RESET=--factory-reset=yes\n"
    assert not (resets and mapped.exists()), "the kernel lets nobody make anew what is open"
    return Decided(made.is_dir(), bool(drop_ins), resets)


def start(var: Path, folder: Path, partition: str = "ext4", **robot: Any) -> bool:
    """Let the initrd's script look at the data partition; return whether it passes on that a reset was asked for."""
    decided = slot(folder, partition, f'[ "$2" = ext4 ] && rmdir "$4" && ln -s {var} "$4"', **robot)
    assert decided.makes
    assert decided.encrypts == (partition == "crypto_LUKS")
    return decided.resets


def test_the_initrd_finds_the_request_where_the_command_puts_it(var: Path, tmp_path: Path) -> None:
    assert not start(var, tmp_path / "1")
    reset("--yes")
    assert start(var, tmp_path / "2")
    reset("--cancel")
    assert not start(var, tmp_path / "3")
    assert (var / "lib/holdfast/os/unfinished").read_text() == "3\n"


def test_an_encrypted_partition_is_closed_for_a_reset_and_else_stays_open(var: Path, tmp_path: Path) -> None:
    opened = "dev/mapper/holdfast-data"
    assert not start(var, tmp_path / "1", "crypto_LUKS")
    assert (tmp_path / "1" / opened).exists()
    reset("--yes")
    assert start(var, tmp_path / "2", "crypto_LUKS")
    assert not (tmp_path / "2" / opened).exists()
    assert not start(var, tmp_path / "3", "crypto_LUKS", closes=False)
    assert sorted(stored(var)) == ["factory-reset", "unfinished"]


def test_what_cannot_be_opened_is_encrypted_when_it_is_made_anew(tmp_path: Path) -> None:
    assert slot(tmp_path, "crypto_LUKS", "exit 1", opens=False) == Decided(True, True, False)


@pytest.mark.parametrize("partition", [None, ""], ids=["first start", "nobody can read it"])
@pytest.mark.parametrize("encrypt", [True, False])
def test_what_is_to_be_made_is_encrypted_where_the_drive_was_flashed_so(
    tmp_path: Path, partition: str | None, encrypt: bool
) -> None:
    esp = tmp_path / "esp"
    esp.mkdir()
    for path in first_boot(encrypt=encrypt).files:
        (esp / path).parent.mkdir(parents=True)
        (esp / path).touch()
    mount = f'[ "$2" = vfat ] && rmdir "$6" && ln -s {esp} "$6"'
    assert slot(tmp_path / "robot", partition, mount) == Decided(True, encrypt, False)


def test_where_it_cannot_be_found_out_nothing_is_made(tmp_path: Path) -> None:
    assert slot(tmp_path, None, "exit 1") == Decided(False, False, False)
    assert "AssertPathExists=/run/holdfast-repart.d\n" in REPART.read_text()


def own_drive(folder: Path) -> list[str]:
    return [file.name for file in (folder / "run/holdfast-drive").iterdir()]


def test_all_is_taken_from_the_drive_of_the_root(var: Path, tmp_path: Path) -> None:
    assert not start(var, tmp_path / "1")
    assert own_drive(tmp_path / "1") == ["254:0"]
    mounts = (tmp_path / "1/mounts").read_text().splitlines()
    assert {mount.split()[-2].removeprefix(str(tmp_path / "1")) for mount in mounts} == {
        "/dev/holdfast-drive/esp",
        "/dev/holdfast-data",
    }
    elsewhere = slot(tmp_path / "2", "ext4", "exit 1", drives=[{"sda": PARTITIONS}])
    assert own_drive(tmp_path / "2") == ["8:0"]
    assert not elsewhere.makes, "what is on vda is not looked at"


STARTED_FROM = {"LoaderDevicePartUUID": ESP_ID.upper()}
FLASHED_ALIKE = ("0f1d6a53-7c0c-4a3e-8f53-3f0a2d1a9b77", ROOT_ID, TREE_ID)


def test_of_two_drives_with_the_same_version_it_takes_the_one_it_was_started_from(
    var: Path, tmp_path: Path
) -> None:
    both = {"sda": FLASHED_ALIKE, "vda": PARTITIONS}
    assert not start(var, tmp_path / "1", drives=[both], noted=STARTED_FROM)
    assert own_drive(tmp_path / "1") == ["254:0"]
    assert not (tmp_path / "1/said").exists()


@pytest.mark.parametrize("noted", [STARTED_FROM, {}], ids=["started from one of them", "nobody tells"])
def test_beside_a_copy_of_its_drive_it_waits_until_one_is_taken_out(
    var: Path, tmp_path: Path, noted: Mapping[str, str]
) -> None:
    copies = [dict.fromkeys(names, PARTITIONS) for names in (("sda", "vda"), ("vda", "vdb"), ("vda",))]
    looks = [copies[0], copies[0], copies[1], {"vda": (ESP_ID,), "sda": FLASHED_ALIKE[:1]}, copies[2]]
    assert not start(var, tmp_path / "1", drives=looks, noted=noted)
    assert own_drive(tmp_path / "1") == ["254:0"]
    assert (tmp_path / "1/waited").read_text() == "5\n" * 4
    said = (tmp_path / "1/said").read_text().splitlines()
    assert [re.findall(r"\b[sv]d[a-z]\b", line) for line in said] == [["sda", "vda"], ["vda", "vdb"], []]
    assert "no drive has both" in said[-1]


def test_after_the_data_partition_is_mounted_nobody_can_have_its_key() -> None:
    opening = (UNITS / "holdfast-open-data.service").read_text()
    steps = [line.split()[0] for line in opening.splitlines() if line.startswith("ExecStart=")]
    assert [step.rpartition("/")[2] for step in steps] == ["open-data", "systemd-pcrextend", "touch"]
    assert "--pcr=15 " in opening
    assert "AssertPathExists=/run/holdfast-data-open\n" in (UNITS / "sysroot-var.mount").read_text()
    assert "--tpm2-pcrs=7+15 " in REPART.read_text()


def test_time_that_the_initrd_takes_is_no_time_in_which_a_drive_is_missing() -> None:
    assert "TimeoutStartSec=infinity\n" in (UNITS / "holdfast-slot.service").read_text()
    for device, service in (("dev-mapper-root", "slot"), (r"dev-holdfast\x2ddata", "open-data")):
        assert (
            f"After=holdfast-{service}.service\n" in (UNITS / f"{device}.device.d/holdfast.conf").read_text()
        )


def test_where_no_drive_is_the_robots_own_nothing_is_waited_for(tmp_path: Path) -> None:
    script = (INITRD / "holdfast/open-data").read_text().replace("/run/", f"{tmp_path}/run/")
    program(tmp_path / "bin", "open-data", script)
    program(tmp_path / "bin", "udevadm", f"touch {tmp_path}/waited")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert subprocess.run([tmp_path / "bin/open-data"], env={"PATH": path}, check=False).returncode == 1
    assert not (tmp_path / "waited").exists()


def test_nothing_looks_at_the_data_partition_before_it_is_the_new_one() -> None:
    partitions, opening = REPART.read_text(), (UNITS / "holdfast-open-data.service").read_text()
    assert f"EnvironmentFile=-/run/{OPTIONS}\n" in partitions
    assert " $RESET\n" in partitions
    assert f"ExecStopPost=/usr/bin/rm -f /run/{OPTIONS}\n" in partitions, (
        "one that fails is started once more"
    )
    assert "After=systemd-repart.service\n" in opening
    check = r"systemd-fsck@dev-holdfast\x2ddata.service"
    for unit in (opening, partitions):
        assert f"Before={check}\n" in unit
    mount = (UNITS / "sysroot-var.mount").read_text()
    assert "What=/dev/holdfast-data\n" in mount
    assert f"After=sysroot.mount holdfast-open-data.service {check}\n" in mount


@pytest.mark.parametrize(("record", "passed_on"), [(CLEAR, True), *((record, False) for record in LATCHED)])
def test_a_stop_that_is_latched_after_the_request_takes_it_away(
    var: Path, tmp_path: Path, record: str, passed_on: bool
) -> None:
    reset("--yes")
    latch(var, record)
    assert start(var, tmp_path / "1") is passed_on
    assert ("factory-reset" in stored(var)) is passed_on


# The reset line

PRESSED = "echo 1"
RELEASED = "echo 0"


@dataclass
class Button:
    """A robot whose card was flashed with a reset line, and that stores on an ext4 partition."""

    esp: Path
    var: Path
    starts: int = 0
    folder: Path = Path()
    """What the last start has left."""

    def start(
        self,
        gpio: str,
        partition: str | None = "ext4",
        *,
        mounts: str = "true",
        writes: bool = True,
        tpm: bool = False,
        secure_boot: bool | None = False,
    ) -> bool:
        """Let the initrd's script look at the line; return whether it has the robot reset."""
        self.starts += 1
        self.folder = self.esp.parent / str(self.starts)
        write = "" if writes else '[ "$4" = rw ] && exit 1;'
        var = f'({mounts.format(folder=self.folder)}) && rmdir "$4" && ln -s {self.var} "$4"'
        mount = f'case $2 in vfat) {write} rmdir "$6" && ln -s {self.esp} "$6" ;; ext4) {var} ;; esac'
        return slot(self.folder, partition, mount, gpio=gpio, tpm=tpm, secure_boot=secure_boot).resets

    def has_been_low(self) -> bool:
        """Tell whether `holdfast os status` would say that a start has found the line low."""
        line = reset_line(self.esp)
        assert line is not None
        return line.seen_low


@pytest.fixture
def button(var: Path, tmp_path: Path) -> Button:
    esp = tmp_path / "esp"
    for path, content in first_boot(reset_line="button:5").files.items():
        (esp / path).parent.mkdir(parents=True)
        (esp / path).write_bytes(content)
    button = Button(esp, var)
    assert reset_line(esp) == ResetLine("button:5", seen_low=False)
    assert not button.start(RELEASED, partition=None)
    assert button.has_been_low(), "the first start"
    return button


def counted(folder: Path, *levels: int) -> str:
    """Return a gpioget that reads these levels one after the other, and then the last of them."""
    cases = "".join(f"{count}) echo {level} ;; " for count, level in enumerate(levels[:-1], 1))
    return f"echo >>{folder}/read; case $(wc -l <{folder}/read) in {cases}*) echo {levels[-1]} ;; esac"


def test_a_robot_without_a_line_says_none(tmp_path: Path) -> None:
    assert reset_line(tmp_path) is None


def test_a_line_that_is_held_resets(button: Button, tmp_path: Path) -> None:
    assert button.start(f'echo "$@" >>{tmp_path}/asked; echo 1')
    assert not button.has_been_low()
    readings = (tmp_path / "asked").read_text().splitlines()
    assert readings == ["--numeric --bias=pull-down --hold-period=500ms --chip=gpiochip3 5"] * 11


def test_a_line_by_its_device(button: Button, tmp_path: Path) -> None:
    (button.esp / RESET_LINE).write_text("gpiochip0:12")
    assert button.start(f'echo "$@" >{tmp_path}/asked; echo 1')
    assert (tmp_path / "asked").read_text().endswith("--chip=gpiochip0 12\n")


@pytest.mark.parametrize("levels", [(0, 1), (1, 0), (1,) * 10 + (0,)])
def test_who_lets_go_in_time_loses_nothing(button: Button, tmp_path: Path, levels: tuple[int, ...]) -> None:
    assert not button.start(counted(tmp_path, *levels))
    assert button.has_been_low()


@pytest.mark.parametrize("gpio", ["exit 1", "echo", "echo 2", "echo 1; echo 1", "echo error"])
def test_a_line_that_cannot_be_read_resets_nothing(button: Button, gpio: str) -> None:
    assert not button.start(gpio)
    assert (button.var / "lib/holdfast/os/unfinished").read_text() == "1\n"


def test_a_line_that_is_always_high_resets_nothing(button: Button) -> None:
    assert button.start(PRESSED)
    for gpio in (PRESSED, "exit 1", PRESSED):
        assert not button.start(gpio)
    assert not button.start(RELEASED)
    assert "-o remount,rw " in (button.folder / "mounts").read_text()
    assert button.start(PRESSED)


def test_a_reset_that_cannot_be_noted_is_not_made(button: Button) -> None:
    assert not button.start(PRESSED, writes=False)
    assert button.start(PRESSED)


def test_without_a_data_partition_there_is_nothing_to_reset(button: Button) -> None:
    assert not button.start(PRESSED, partition=None)
    assert button.has_been_low()


def test_the_line_helps_where_the_data_partition_cannot_be_mounted(button: Button) -> None:
    assert not button.start(RELEASED, mounts="false")
    assert button.start(PRESSED, mounts="false")


def test_the_line_forgets_no_latched_stop(button: Button) -> None:
    latch(button.var, LATCHED[0])
    assert not button.start(PRESSED)
    # Nor one that can be read only after the file system was checked.
    assert not button.start(PRESSED, mounts="test -e {folder}/checked")
    latch(button.var, CLEAR)
    assert button.start(PRESSED)


LOCKED_OUT = [(True, True, False), (True, None, False), (True, False, True), (False, True, True)]


@pytest.mark.parametrize(("tpm", "secure_boot", "resets"), LOCKED_OUT)
def test_the_line_locks_nobody_out(button: Button, tpm: bool, secure_boot: bool | None, resets: bool) -> None:
    assert button.start(PRESSED, tpm=tpm, secure_boot=secure_boot) is resets
    assert button.has_been_low() is not resets


# The boot menu

CHOSEN = {"LoaderEntrySelected": Path(RESET_ENTRY).name}
VERSION = "holdfast_1.2.0.efi"


def test_the_reset_of_the_menu(var: Path, tmp_path: Path) -> None:
    assert not start(var, tmp_path / "1", noted={"LoaderEntrySelected": VERSION})
    assert start(var, tmp_path / "2", noted={**CHOSEN, "LoaderEntryDefault": VERSION})
    assert (tmp_path / "2/waited").read_text() == "10\n"
    assert slot(tmp_path / "3", "ext4", "exit 1", noted=CHOSEN).resets, "nobody can read the data partition"


@pytest.mark.parametrize("by_itself", ["LoaderEntryDefault", "LoaderEntryLastBooted"])
@pytest.mark.parametrize("named", [*CHOSEN.values(), "holdfast-*"])
def test_what_the_menu_would_start_each_time_resets_nothing(
    var: Path, tmp_path: Path, by_itself: str, named: str
) -> None:
    assert not start(var, tmp_path / "1", noted={**CHOSEN, by_itself: named})


@pytest.mark.parametrize(
    ("timeout", "resets"), [("0", False), ("menu-hidden", False), ("3", True), ("menu-force", True)]
)
def test_a_menu_that_nobody_sees_resets_nothing(
    var: Path, tmp_path: Path, timeout: str, resets: bool
) -> None:
    assert start(var, tmp_path / "1", noted={**CHOSEN, "LoaderConfigTimeout": timeout}) is resets


def test_the_reset_of_the_menu_forgets_no_latched_stop(var: Path, tmp_path: Path) -> None:
    latch(var, LATCHED[0])
    assert not start(var, tmp_path / "1", noted=CHOSEN)


@pytest.mark.parametrize(("tpm", "secure_boot", "resets"), LOCKED_OUT)
def test_the_reset_of_the_menu_locks_nobody_out(
    var: Path, tmp_path: Path, tpm: bool, secure_boot: bool | None, resets: bool
) -> None:
    assert start(var, tmp_path / "1", noted=CHOSEN, tpm=tpm, secure_boot=secure_boot) is resets


def test_the_option_of_the_kernel_finds_the_partition_closed(tmp_path: Path) -> None:
    with_option = f"roothash={ROOT_HASH} systemd.factory_reset=1"
    slot(tmp_path / "1", "crypto_LUKS", "exit 1")
    assert (tmp_path / "1/dev/mapper/holdfast-data").exists()
    slot(tmp_path / "2", "crypto_LUKS", "exit 1", command_line=with_option)
    assert not (tmp_path / "2/dev/mapper/holdfast-data").exists()


# systemd-repart

repart = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("systemd-repart") is None, reason="needs root and systemd-repart"
)


class Drive:
    """A file with the partitions that an image has, and what the initrd does to them at each start."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "drive"
        self._folder = folder
        image = folder / "image"
        image.mkdir()
        for order, (kind, size) in enumerate([("esp", "512M"), ("root-verity", "16M"), ("root", "1G")]):
            lines = f"[Partition]\nType={kind}\nSizeMinBytes={size}\nSizeMaxBytes={size}\n"
            (image / f"{order}.conf").write_text(lines)
        self._repart(image, "--empty=create", f"--size={DISK_BYTES}")

    def start(self, *options: str, mkfs: str = 'exec /usr/sbin/mkfs.ext4 "$@"') -> bool:
        program(self._folder / "bin", "mkfs.ext4", mkfs)
        return self._repart(ROBOT, *options)

    def partitions(self) -> dict[str, tuple[int, int, str]]:
        """Return where each partition is and its id, by its name."""
        told = subprocess.run(["sfdisk", "--json", self.file], check=True, capture_output=True, text=True)
        return {
            f"{part['name']} {part['type']}": (part["start"], part["size"], part["uuid"])
            for part in json.loads(told.stdout)["partitiontable"]["partitions"]
        }

    def data(self) -> tuple[int, int] | None:
        """Return where the data partition is."""
        found = [place[:2] for name, place in self.partitions().items() if name.startswith("holdfast-data ")]
        return found[0] if found else None

    def debugfs(self, *command: str) -> str:
        place = self.data()
        assert place is not None
        device = f"{self.file}?offset={place[0] * 512}"
        return subprocess.run(
            ["debugfs", *command, device], check=True, capture_output=True, text=True
        ).stdout

    def _repart(self, definitions: Path, *options: str) -> bool:
        command = [
            "systemd-repart",
            "--dry-run=no",
            "--seed=random",
            f"--definitions={definitions}",
            *options,
        ]
        path = f"{self._folder / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            [*command, self.file], env={**os.environ, "PATH": path}, check=False, capture_output=True
        )
        return done.returncode == 0


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """The drive of a robot that has started once and stored something."""
    drive = Drive(tmp_path)
    assert drive.start()
    drive.debugfs("-w", "-R", "mkdir kept")
    assert "kept" in drive.debugfs("-R", "ls")
    return drive


@repart
def test_a_reset_makes_the_data_partition_anew_and_leaves_the_slots(drive: Drive) -> None:
    before, place = drive.partitions(), drive.data()
    assert drive.start()
    assert drive.partitions() == before
    assert "kept" in drive.debugfs("-R", "ls")
    assert drive.start("--factory-reset=yes")
    assert "kept" not in drive.debugfs("-R", "ls")
    # The kernel, which has the root open, goes on with the partitions that it knows.
    assert drive.data() == place
    changed = dict(drive.partitions().items() - before.items())
    assert [name.split(" ")[0] for name in changed] == ["holdfast-data"]


@repart
def test_a_reset_that_was_cut_short_is_ended_by_the_next_start(drive: Drive) -> None:
    place = drive.data()
    assert not drive.start("--factory-reset=yes", mkfs="exit 1")
    assert drive.data() is None
    assert drive.start()
    assert drive.data() == place
    assert "kept" not in drive.debugfs("-R", "ls")
