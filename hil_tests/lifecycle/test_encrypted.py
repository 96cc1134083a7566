"""A drive flashed with --encrypt: its robot's TPM opens it, also after power cuts and a reset, and no other's does."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.flashed_drive import flashed_drive
from holdfast_bench.qemu import Vm
from holdfast_bench.qemu.saved_state import DISK, FIRMWARE_VARIABLES, KEY
from holdfast_bench.robot import wait_until
from holdfast_bench.updates import Updated
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import Image, build_image, repository_root

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
LIMIT_S = 900.0
STORED = "/var/lib/holdfast/stored"
SECRET = "nobody may read this from the drive"  # noqa: S105 - it is looked for, not with
# What LUKS notes of the TPM.
IN_THE_HEADER = "systemd-tpm2"
DATA = "/dev/disk/by-partlabel/holdfast-data"
CREDENTIALS = {"holdfast.env": env_lines(RELAXED | SLOWER), "holdfast.robot-id": "arm-42"}


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """A drive that shall encrypt."""
    image = build_image(repository_root(Path(__file__).parent))
    with flashed_drive(image, tmp_path_factory.mktemp("encrypted"), "--encrypt") as drive:
        yield drive


@pytest.fixture(scope="module")
def vm(flashed: Image) -> Iterator[Vm]:
    """A robot that has started from that drive."""
    with Vm(flashed, flashed.directory.parent / "vm", credentials=CREDENTIALS, tpm=True) as vm:
        vm.on()
        vm.wait_for_unit("boot-complete.target", LIMIT_S)
        yield vm


def is_in_clear(text: str, drive: Path) -> bool:
    """Tell whether a text stands on a robot's drive as it is."""
    return subprocess.run(["grep", "--quiet", "--fixed-strings", text, drive], check=False).returncode == 0


def luks_id(vm: Vm) -> str:
    """Return the id that the encrypted partition got when it was made."""
    return vm.shell.run(f"lsblk -dno UUID {DATA}").stdout


def is_encrypted(vm: Vm) -> bool:
    """Tell what the robot says, and that its data partition is what it says."""
    kind = vm.shell.run(f"lsblk -no FSTYPE {DATA}").stdout.split()[0]
    told = bool(Updated(vm.shell).status()["encrypted"])
    assert told == (kind == "crypto_LUKS")
    return told


def test_its_data_is_encrypted_and_grown_to_the_drive(vm: Vm) -> None:
    assert is_encrypted(vm)
    assert int(vm.shell.run("findmnt -bno SIZE /var").stdout) > 2 << 30
    assert vm.shell.run("systemctl list-units --state=failed --plain --no-legend").stdout == ""


def test_after_a_power_cut_the_tpm_opens_it_again(vm: Vm) -> None:
    vm.shell.run(f"echo '{SECRET}' > {STORED} && sync {STORED}")
    vm.cut()
    assert is_in_clear(IN_THE_HEADER, vm.folder / DISK)
    assert not is_in_clear(SECRET, vm.folder / DISK)
    vm.on()
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert vm.shell.run(f"cat {STORED}").stdout.strip() == SECRET


def test_a_reset_encrypts_again(vm: Vm) -> None:
    boot, key = Updated(vm.shell).boot_id(), luks_id(vm)
    asked = vm.shell.run("holdfast os factory-reset --yes --json", limit_s=LIMIT_S)
    assert json.loads(asked.stdout)["ok"]
    vm.shell.run("systemctl reboot", check=False)

    def came_back() -> bool:
        # With a host key of its own: it is not the one that this workstation knows.
        vm.shell.known_hosts.unlink(missing_ok=True)
        return Updated(vm.shell).boot_id() not in ("", boot)

    wait_until("the robot has started anew", came_back, LIMIT_S)
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert vm.shell.run(f"ls {STORED}", check=False).stdout == ""
    assert is_encrypted(vm)
    assert luks_id(vm) != key


def test_once_the_robot_runs_the_tpm_gives_the_key_to_nobody(vm: Vm) -> None:
    # The key is bound to what nobody had extended when it was made, and something has been since.
    header = vm.shell.run(f"head -c 64K {DATA} | tr -d ' ' | grep -ao '\"tpm2-pcrs\":[^]]*'").stdout
    assert set(header.split()) == {'"tpm2-pcrs":[7,15'}
    extended = vm.shell.run("cat /sys/class/tpm/tpm0/pcr-sha256/15").stdout.strip()
    assert len(extended) == 64
    assert extended != "0" * 64


def test_another_robot_does_not_open_it(vm: Vm, flashed: Image, tmp_path: Path) -> None:
    vm.cut()
    with Vm(flashed, tmp_path / "vm", credentials=CREDENTIALS, tpm=True) as thief:
        # The key of ssh too: the drive knows that of its own robot.
        for name in (DISK, FIRMWARE_VARIABLES, KEY, f"{KEY}.pub"):
            shutil.copyfile(vm.folder / name, thief.folder / name)
        thief.on()
        thief.console.wait_for("the TPM does not open the data partition", LIMIT_S)
        thief.cut()
        # Not for another reason: with the robot's own TPM it starts.
        shutil.rmtree(thief.folder / "tpm")
        shutil.copytree(vm.folder / "tpm", thief.folder / "tpm", ignore=shutil.ignore_patterns("socket"))
        thief.on()
        thief.wait_for_unit("holdfast-control.service", LIMIT_S)


def test_a_robot_without_a_tpm_says_what_it_lacks_and_stores_nothing(flashed: Image, tmp_path: Path) -> None:
    with Vm(flashed, tmp_path / "vm") as other:
        # The second time it has found no data partition again.
        for _ in range(2):
            other.on()
            other.console.wait_for("the robot has no TPM 2.0", LIMIT_S)
            other.console.wait_for(r"Failed to start \S*systemd-repart", LIMIT_S)
            other.cut()
