"""A robot is reset by who stands in front of it: by a line that is held while it starts, or in the boot menu."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.flashed_drive import flashed_drive
from holdfast_bench.qemu import Vm
from holdfast_bench.robot import wait_until
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import build_image, repository_root

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
LIMIT_S = 900.0
STORED = "/var/lib/holdfast/stored"
DATA = "/dev/disk/by-partlabel/holdfast-data"
RESET_LINE = "reset-button:0"
LINE = "holdfast.reset-line"


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    """A robot that has started once."""
    image = build_image(repository_root(Path(__file__).parent))
    folder = tmp_path_factory.mktemp("reset-line")
    told = {"holdfast.env": env_lines(RELAXED | SLOWER), "holdfast.robot-id": "arm-42"}
    with (
        flashed_drive(image, folder, "--reset-line", RESET_LINE) as drive,
        Vm(drive, folder / "vm", credentials=told) as vm,
    ):
        start(vm)
        yield vm


def switch_on(vm: Vm, *, held: bool) -> None:
    vm.credentials[LINE] = "held" if held else "released"
    vm.on()


def start(vm: Vm, *, held: bool = False) -> None:
    """Switch the robot on, with its line held or not, and wait until its core runs."""
    switch_on(vm, held=held)
    # After a reset its host key is another one than this workstation knows.
    vm.shell.known_hosts.unlink(missing_ok=True)
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)


def store(vm: Vm) -> None:
    vm.shell.run(f"touch {STORED} && sync")


def is_stored(vm: Vm) -> bool:
    return vm.shell.run(f"if test -e {STORED}; then echo yes; else echo no; fi").stdout.strip() == "yes"


def told(vm: Vm) -> object:
    """What `holdfast os status` says of the line."""
    return json.loads(vm.shell.run("holdfast os status --json").stdout)["reset_line"]


def test_who_holds_the_line_resets_the_robot(vm: Vm) -> None:
    assert told(vm) == {"line": RESET_LINE, "seen_low": True}
    store(vm)
    machine = vm.shell.run("cat /etc/machine-id").stdout
    vm.cut()
    start(vm, held=True)
    vm.console.wait_for("the reset line is held: in 5 s all data", LIMIT_S)
    assert not is_stored(vm)
    assert vm.shell.run("cat /etc/machine-id").stdout != machine
    assert told(vm) == {"line": RESET_LINE, "seen_low": False}
    assert 'id = "arm-42"' in vm.shell.run("cat /etc/holdfast/robot.toml").stdout
    assert vm.shell.run("systemctl list-units --state=failed --plain --no-legend").stdout == ""


def test_a_line_that_is_stuck_does_not_reset_it_again(vm: Vm) -> None:
    store(vm)
    vm.cut()
    start(vm, held=True)
    vm.console.wait_for("no start has found the reset line low since", LIMIT_S)
    assert is_stored(vm)


def test_a_data_partition_that_nobody_can_read_is_made_anew(vm: Vm) -> None:
    vm.shell.run(f"dd if=/dev/zero of={DATA} bs=1M count=64 conv=fsync", check=False)
    vm.cut()
    switch_on(vm, held=False)
    vm.console.wait_for("root file system cannot be had", LIMIT_S)
    vm.cut()
    start(vm, held=True)
    vm.console.wait_for("nobody can read the data partition", LIMIT_S)
    assert not is_stored(vm)
    assert vm.shell.run("systemctl list-units --state=failed --plain --no-legend").stdout == ""


def test_the_menus_option_resets_it_too(vm: Vm) -> None:
    store(vm)
    vm.cut()
    vm.command_line = "systemd.factory_reset=1"
    start(vm)
    assert not is_stored(vm)
    vm.command_line = ""


def show_menu(vm: Vm, key: str) -> None:
    """Cut the robot's power, switch it on and press a key until the boot menu is there."""
    vm.cut()
    switch_on(vm, held=False)

    def is_shown() -> bool:
        vm.press(key)
        return "Factory reset" in vm.console.since_mark()

    wait_until("the boot menu offers a factory reset", is_shown, LIMIT_S)


def choose(vm: Vm, *keys: str) -> None:
    """Switch the robot on and press these keys in its boot menu, which stands for longer than it does by itself."""
    vm.shell.run("bootctl set-timeout-oneshot 30")
    show_menu(vm, "spc")
    for key in keys:
        vm.press(key)


def test_who_chooses_it_in_the_menu_resets_it_once(vm: Vm) -> None:
    vm.wait_for_unit("systemd-bless-boot.service", LIMIT_S)
    store(vm)
    # The version stands before it.
    choose(vm, "down", "ret")
    vm.console.wait_for("a factory reset was chosen: in 10 s all data", LIMIT_S)
    vm.shell.known_hosts.unlink(missing_ok=True)
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert not is_stored(vm)
    store(vm)
    vm.cut()
    start(vm)
    assert is_stored(vm)


def test_a_digit_that_is_pressed_at_power_on_resets_nothing(vm: Vm) -> None:
    store(vm)
    show_menu(vm, "2")
    # The menu stands still if the key came while it was there.
    for key in ("up", "ret"):
        vm.press(key)
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert is_stored(vm)
    assert "a factory reset was chosen" not in vm.console.since_mark()


def test_a_menu_that_would_choose_it_by_itself_resets_nothing(vm: Vm) -> None:
    store(vm)
    choose(vm, "down", "d", "ret")
    vm.console.wait_for("the boot menu would do it at each start", LIMIT_S)
    vm.wait_for_unit("holdfast-control.service", LIMIT_S)
    assert is_stored(vm)
